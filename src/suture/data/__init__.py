"""From a file to transitions that training may trust."""
