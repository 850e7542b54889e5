"""What a log is good for, before anything is trained: statistics, regime, recommendation, drift."""
