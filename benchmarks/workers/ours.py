"""Our pipeline on a bundle folder, as `nlp-service score` runs it: each reading is a job of its own and remembers nothing of the others.

Options: `--precision X`.
"""

from protocol import serve

CHUNK = 1024  # as nlp-service score takes them


def load(folder, options):
    from nlp_service.cli.options import DEFAULT_MEMORY, MEGABYTE
    from nlp_service.core.schema import Feedback
    from nlp_service.memory import Memory
    from nlp_service.pipeline import Pipeline

    precision = options[options.index("--precision") + 1] if "--precision" in options else "auto"
    pipeline = Pipeline.load(folder, precision=precision)

    def read(texts):
        pipeline.memory = Memory(DEFAULT_MEMORY * MEGABYTE)
        out = []
        for start in range(0, len(texts), CHUNK):
            out += pipeline.analyze([Feedback(text=text) for text in texts[start : start + CHUNK]])
        return out

    return read


serve(load)
