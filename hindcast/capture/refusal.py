"""Why a request is not accepted: the status and the sentence of its answer."""


class Refused(Exception):
    """The answer to a request that is not accepted; the sentence never quotes a value of the event."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status
        self.sentence = sentence
