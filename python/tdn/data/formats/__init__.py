"""File formats; each is a module, or a few with a common prefix, that gives a :class:`tdn.data.source.Source`."""
