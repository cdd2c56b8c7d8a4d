"""The SIM agent: beside the card, it shows what an app asks, has the card sign the answer, and watches the identity.

A library first: the terminal, the local web page, and a phone's companion are faces of the same parts.
"""
