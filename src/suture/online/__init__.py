"""Acting in an environment and learning from what comes back: fine-tuning, and the loop of rounds."""
