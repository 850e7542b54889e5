"""Grasping from a bin, from pictures: scene, environment, scripts and their logs."""
