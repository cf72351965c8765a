"""A Flower Grid that runs a real ClientApp in this process: fast, and any order of answers.

It stands for the network only. Messages are Flower's own and are copied through its wire format,
so that nothing is shared by reference; faults are injected where a test asks for them.
"""

from collections.abc import Callable, Iterable
from uuid import uuid4

from flwr.app import Context, Error, Message, RecordDict
from flwr.clientapp import ClientApp
from flwr.common.serde import message_from_proto, message_to_proto
from flwr.serverapp import Grid
from flwr.supercore.run import Run
from flwr.supercore.task_identity import TaskIdentity

Order = Callable[[list[Message]], list[Message]]
Fault = Callable[[int, Message], Message | None]
Alter = Callable[[int, Message], Message]


class LoopbackGrid(Grid):
    """``nodes`` sites; ``order`` arranges each batch of answers before they are handed over.

    ``fault(node, message)`` may return the message as it is, a reply of its own, or None for a
    site that never answers. ``alter(node, reply)`` changes true answers on their way.
    """

    def __init__(
        self,
        app: ClientApp,
        run_config: dict[str, bool | float | int | str],
        nodes: int,
        order: Order = lambda replies: replies,
        fault: Fault = lambda _node, message: message,
        alter: Alter = lambda _node, reply: reply,
    ) -> None:
        self.app, self.order, self.fault, self.alter = app, order, fault, alter
        self.replies: list[Message] = []
        self.contexts = {
            100 + i: Context(
                1, 100 + i, {"partition-id": i, "num-partitions": nodes}, RecordDict(), run_config
            )
            for i in range(nodes)
        }
        TaskIdentity.run_id = TaskIdentity.node_id = TaskIdentity.task_id = 1  # the server
        self.online = set(self.contexts)
        self.pending: dict[str, Message] = {}
        self.pushed: list[Message] = []
        self.pulls: list[int] = []

    def set_run(self, run: Run) -> None:
        raise NotImplementedError

    @property
    def run(self) -> Run:
        raise NotImplementedError

    def create_message(self, *args: object, **kwargs: object) -> Message:
        raise NotImplementedError

    def get_node_ids(self) -> Iterable[int]:
        return sorted(self.online)

    def send_and_receive(
        self, messages: Iterable[Message], *, timeout: float | None = None
    ) -> Iterable[Message]:
        """As Flower's own loop calls it: all replies at once, errors among them."""
        ids = list(self.push_messages(messages))
        replies: list[Message] = []
        while any(message_id in self.pending for message_id in ids):
            replies += self.pull_messages(ids)
        return replies

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        ids = []
        for message in messages:
            sent = copy(message)
            sent.metadata.__dict__["_message_id"] = str(uuid4())
            self.pushed.append(sent)
            self.pending[sent.metadata.message_id] = sent
            ids.append(sent.metadata.message_id)
        return ids

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        asked = sorted(self.pending.values(), key=lambda m: m.metadata.dst_node_id)
        replies = []
        for message in self.order(asked)[:1]:  # one at a time, as a network may
            if message.metadata.message_id not in message_ids:
                continue
            del self.pending[message.metadata.message_id]
            reply = self._answer(message)
            if reply is not None:
                replies.append(reply)
        self.pulls.append(len(replies))
        return replies

    def _answer(self, message: Message) -> Message | None:
        node = message.metadata.dst_node_id
        outcome = self.fault(node, message)
        if outcome is None or outcome is not message:
            return outcome
        try:
            reply = self.alter(node, copy(self.app(message, self.contexts[node])))
            self.replies.append(reply)
            return reply
        except Exception as error:  # as Flower does: code 2 and the text
            return Message(Error(2, f"{type(error).__name__}: {error}"), reply_to=message)


def copy(message: Message) -> Message:
    """Through Flower's wire format and back."""
    again = message_from_proto(message_to_proto(message))
    again.metadata.__dict__["_message_id"] = message.metadata.message_id
    return again
