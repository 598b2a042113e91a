from ntk_shortcuts.generative import *
