"""VADER: a list of English words with valences. Sentiment only."""

from protocol import serve


def load(folder, options):
    from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

    analyzer = SentimentIntensityAnalyzer()
    return lambda texts: [analyzer.polarity_scores(text) for text in texts]


serve(load)
