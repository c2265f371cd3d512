"""The examples, each with a model that rolls dice and then talks long enough to be stopped in its middle."""

SENTENCE = "These are the dice that you have asked for, and now I talk on for a while. "
WORDS = [f"{word} " for word in SENTENCE.split() * 4]
WORD_S = 0.01  # seconds between two words
