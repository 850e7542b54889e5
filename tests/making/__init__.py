"""Small logs and datasets with known contents, for tests."""
