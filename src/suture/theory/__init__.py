"""The lecture as functions that can be run, with the right version where a statement is loose or wrong."""
