"""VADER: a list of English words with valences. Sentiment only, by the thresholds of its authors."""

from protocol import serve


def load(folder, options):
    from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

    analyzer = SentimentIntensityAnalyzer()

    def read(texts):
        compound = [analyzer.polarity_scores(text)["compound"] for text in texts]
        return [{"positive" if c >= 0.05 else "negative" if c <= -0.05 else "neutral": 1.0} for c in compound]

    return read


serve(load)
