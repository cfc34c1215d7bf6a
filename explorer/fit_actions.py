"""What happens in the dialog "Fit to budget": it opens, a fit starts, a plan is used."""

from explorer import fit_work, state
from explorer.fit_work import Asked
from pruning_core import PruningError, Request
from pruning_core.plan import Plan


def open_dialog() -> None:
    """Show the dialog; the page draws it until it is closed."""
    state.view(fit=True)
    state.refresh()


def close() -> None:
    """The user closed the dialog."""
    state.view(fit=False)


def start(asked: Asked, requests: tuple[Request, ...], missing: tuple[Request, ...]) -> None:
    """Begin a fit in the background."""
    app = state.current()
    fit_work.start(app.model or "", app.data or "", asked, requests, missing)


def use(plan: Plan) -> None:
    """Take a plan that was found, as one step of undo; the page shows it."""
    try:
        state.adopt(plan)
    except PruningError as error:
        state.change(notice=str(error), push=state.current().push + 1)
    state.view(fit=False)
    state.refresh()
