"""What the cook says: about the action at hand, and in between."""

from __future__ import annotations

import numpy as np

SENTENCES = (
    "Now let me show you how to {verb} the {object}.",
    "Next we {verb} the {object}.",
    "Go ahead and {verb} the {object} just like this.",
    "The first thing you want to do is {verb} the {object}.",
    "I am going to {verb} the {object} now.",
    "So here I {verb} the {object}, nice and easy.",
    "You just {verb} the {object} like so.",
    "Then {verb} the {object} and keep an eye on it.",
    "Take your time when you {verb} the {object}.",
    "What I like to do is {verb} the {object} first.",
    "Once that is done, {verb} the {object}.",
    "All we have to do is {verb} the {object}.",
    "Let's {verb} the {object} together.",
    "This is how I {verb} the {object} at home.",
    "My mother taught me to {verb} the {object} this way.",
    "Make sure you {verb} the {object} properly.",
    "Okay, so we {verb} the {object} for a few seconds.",
    "It is really simple, you {verb} the {object} and that is it.",
    "Do not be afraid to {verb} the {object}.",
    "While that is resting, I {verb} the {object}.",
    "See how I {verb} the {object} here?",
    "We need to {verb} the {object} before we go on.",
    "And now we {verb} the {object} again.",
    "If you have never tried to {verb} the {object}, watch closely.",
    "I always {verb} the {object} when guests are coming.",
    "The secret is to {verb} the {object} with a steady hand.",
)
"""Every verb fits every sentence, so that the words around a pair say nothing about it."""

GREETINGS = (
    "Hi everybody, welcome back to my kitchen.",
    "Hello and welcome to another episode.",
    "Hey guys, today we are making something delicious.",
    "Good morning, I hope you are all hungry.",
    "Welcome back, it is so good to see you again.",
    "Hello my friends, today's recipe is a family favorite.",
)

CHATTER = (
    "It already smells amazing in here.",
    "If you like this recipe, give the video a thumbs up.",
    "I get a lot of questions about this one.",
    "You can find everything at your local market.",
    "My kids love this dish.",
    "Give me one second to clean up the table.",
    "This is a really quick meal for busy days.",
    "Let me know in the comments what you think.",
    "I made this for dinner last night.",
    "We are almost there.",
    "You really do not need any fancy equipment.",
    "Okay, what is next?",
    "Trust me, it is worth the wait.",
    "I have been cooking this for years.",
)

FAREWELLS = (
    "Thank you so much for watching.",
    "Don't forget to subscribe, and see you next time.",
    "That's it for today, enjoy your meal.",
    "I will see you in the next video, bye.",
    "Thanks for cooking with me today.",
)


def narrate(verb: str, object_: str, rng: np.random.Generator) -> str:
    return SENTENCES[rng.integers(len(SENTENCES))].format(verb=verb, object=object_)


def one_of(sentences: tuple[str, ...], rng: np.random.Generator) -> str:
    return sentences[rng.integers(len(sentences))]
