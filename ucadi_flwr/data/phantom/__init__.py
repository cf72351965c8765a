"""The chest phantom: computed CT volumes for demonstrations and tests.

:mod:`.volume` says what it is and what trivial statistics achieve on it; :mod:`.site` writes
folders of it.
"""
