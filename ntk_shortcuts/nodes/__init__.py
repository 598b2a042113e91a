"""Nodes: the points that carry a data law, and those at which outputs are asked for."""
