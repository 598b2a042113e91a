"""Outputs, predictions and their issues."""
