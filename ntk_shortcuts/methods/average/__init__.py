"""The average over data sets."""
