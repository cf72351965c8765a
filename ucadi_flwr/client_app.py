"""Flower's door to a site: a message's terms are checked, the site answers.

What a site does is in :mod:`ucadi_flwr.site`; what each message says in
:mod:`ucadi_flwr.exchange.terms`.
"""

from typing import TypeVar

from flwr.app import Context, Message, RecordDict
from flwr.clientapp import ClientApp

from ucadi_flwr.exchange.terms import RunTerms, TestTerms, TrainTerms, WeightTerms
from ucadi_flwr.site import handlers
from ucadi_flwr.site.session import SiteSession, open_session

Terms = TypeVar("Terms", bound=RunTerms)

app = ClientApp()


@app.query()
def identify(message: Message, context: Context) -> Message:
    """Answer which site this is."""
    session, _ = _open(message, context, RunTerms)
    return _reply(handlers.identify(session), message)


@app.query("weigh")
def weigh(message: Message, context: Context) -> Message:
    """Answer with the site's weight, sealed."""
    return _reply(handlers.weigh(*_open(message, context, WeightTerms)), message)


@app.train()
def train(message: Message, context: Context) -> Message:
    """Train on the site's cases."""
    session, terms = _open(message, context, TrainTerms)
    return _reply(handlers.train(session, terms, message.content), message)


@app.evaluate()
def test(message: Message, context: Context) -> Message:
    """Test on the site's cases."""
    session, terms = _open(message, context, TestTerms)
    return _reply(handlers.test(session, terms, message.content), message)


def _open(message: Message, context: Context, kind: type[Terms]) -> tuple[SiteSession, Terms]:
    terms = kind.read(message.content.config_records.get("config", {}))
    return open_session(context.run_config, context.node_config, terms), terms


def _reply(content: RecordDict, message: Message) -> Message:
    return Message(content=content, reply_to=message)
