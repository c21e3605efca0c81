"""Our pipeline on a bundle folder, as `nlp-service score` reads an archive: a job remembers nothing of the ones before.

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
        chunks = ([Feedback(text=text) for text in texts[start : start + CHUNK]] for start in range(0, len(texts), CHUNK))
        return [outcome for outcomes in pipeline.stream(chunks) for outcome in outcomes]

    return read


serve(load)
