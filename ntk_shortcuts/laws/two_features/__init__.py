"""The paper's data law: a shortcut and a core feature, Gaussian within a class."""
