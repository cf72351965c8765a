"""The chest phantom: computed CT volumes for demonstrations and tests.

:mod:`.volume` describes it and how well simple statistics classify it; :mod:`.site` writes folders
of volumes.
"""
