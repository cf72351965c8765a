"""Protection of what sites send: the server adds up models that it cannot read.

*Encode* is numbers → slots (:mod:`.encoding`), *encrypt* is slots → ciphertexts (:mod:`.scheme`).
*Seal* is all that a site does with a contribution: encode, authenticate (:mod:`.mac`), encrypt,
frame (:mod:`.frame`). *Open* is the inverse, for a sum.
"""
