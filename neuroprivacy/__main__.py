"""`python -m neuroprivacy` is the command line."""

from neuroprivacy.cli import main

main()
