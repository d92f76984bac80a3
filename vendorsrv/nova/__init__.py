"""Nova as vendorsrv imitates it in its own calls, and as it treats the answers.

Other packages use ``client.ask``.
"""
