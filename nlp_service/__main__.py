"""`python -m nlp_service`: the command line, where its script is not on the path."""

from nlp_service.cli.main import app

app(prog_name="nlp-service")
