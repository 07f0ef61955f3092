"""The application of the studio: the routes of all modules behind the guard."""

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from ancestral.base.errors import InputError
from ancestral_studio import (
    form_routes,
    history_routes,
    item_routes,
    job_routes,
    model_routes,
    recipe_routes,
    run_routes,
    served_files,
    site_files,
    upload_routes,
)
from ancestral_studio.answers import answer, refusal
from ancestral_studio.guard import Guard
from ancestral_studio.state import StudioState

MODULES = (
    site_files,
    form_routes,
    job_routes,
    model_routes,
    recipe_routes,
    run_routes,
    history_routes,
    item_routes,
    upload_routes,
    served_files,
)
"""The modules with routes."""


DEFECT = "this is a defect of ancestral; the terminal of the studio shows where"


def application(state: StudioState, host: str) -> Guard:
    """Make the application of a studio.

    Args:
        state: Its state.
        host: The address that it listens at.
    """
    app = Starlette(
        routes=[route for module in MODULES for route in module.ROUTES],
        exception_handlers={
            InputError: _refuse,
            OSError: _refuse,
            HTTPException: _say,
            ClientDisconnect: _leave,
            Exception: _defect,
        },
    )
    app.router.redirect_slashes = False  # an address is what it is, and none is made of what a visitor sends
    app.state.studio = state
    return Guard(app, state, host)


async def _refuse(request: Request, error: Exception) -> Response:
    return refusal(error)


async def _leave(request: Request, error: Exception) -> Response:
    """Answer a visitor who left while sending, as who cancels an upload does: no defect, and nobody reads it."""
    return answer({"error": "the request ended before all of it was sent", "option": None}, 400)


async def _defect(request: Request, error: Exception) -> Response:
    return answer({"error": DEFECT, "option": None}, 500)


async def _say(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    lines = {404: "there is nothing at this address", 405: "this address takes no such request"}
    return answer({"error": lines.get(status, "this request cannot be served"), "option": None}, status)
