"""The explorer: a page in the browser on which settings are moved and predictions follow.

A setting is data (:mod:`.setting`), read from and written to the page's address (:mod:`.query`). Answers to it are pure
functions, computed once (:mod:`.law`, :mod:`.pool`); views draw them (:mod:`.views`); the page puts both together, one for each
browser window (:mod:`.page`), and the server hands it out to this machine alone (:mod:`.server`).

Panel and Bokeh are the extra `explorer`.
"""
