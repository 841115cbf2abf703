"""`Planner` by a language model behind any OpenAI-compatible endpoint.

What the model answers is data: it names no files, runs nothing, and is checked against the text.
Knows no rules of a language. Only `endpoint.py` knows a network, and only through `openai`.
"""
