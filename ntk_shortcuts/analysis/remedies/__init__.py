"""What can be done about a shortcut before training, as changes of a pool."""
