"""Our pipeline on a bundle folder. Each reading remembers nothing of the others, as the jobs of `nlp-service score` do not.

Options: `--precision X`.
"""

from protocol import serve


def load(folder, options):
    from nlp_service.archive.score import CHUNK
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
