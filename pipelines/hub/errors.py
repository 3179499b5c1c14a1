"""One clear sentence for everything that can go wrong between the Hub and a loaded checkpoint."""

from __future__ import annotations

from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

_NO_ANSWER = {"NetworkError", "TimeoutException"}  # by name: huggingface_hub has changed its HTTP library twice


class CheckpointError(OSError):
    """A checkpoint cannot be fetched, verified or loaded; the message is one sentence that says what to do."""


def explain(error: Exception, repo_id: str, revision: str, endpoint: str) -> CheckpointError:
    """Turn what the Hub client raised into a `CheckpointError`.

    Args:
        error: the exception of the Hub client.
        repo_id: the repository that was asked for.
        revision: the revision that was asked for.
        endpoint: address of the Hub that was asked.
    """
    what = f"{repo_id!r} at revision {revision!r}"
    cause = error.__cause__ if isinstance(error, LocalEntryNotFoundError) else error
    status = cause.response.status_code if isinstance(cause, HfHubHTTPError) else None
    if isinstance(error, HFValidationError):
        return CheckpointError(f"{repo_id!r} is neither a folder, nor a checkpoint id, nor a Hub id (owner/name).")
    if isinstance(cause, GatedRepoError):
        return CheckpointError(
            f"{repo_id!r} is gated: accept its terms at {endpoint}/{repo_id}, then log in with `hf auth login`."
        )
    if isinstance(cause, RepositoryNotFoundError):
        return CheckpointError(
            f"{repo_id!r} does not exist at {endpoint}, or is private: check the name, or log in with `hf auth login`."
        )
    if isinstance(cause, RevisionNotFoundError):
        return CheckpointError(f"{repo_id!r} has no revision {revision!r}: check the revision.")
    if status is not None and not isinstance(cause, EntryNotFoundError):
        return CheckpointError(f"{endpoint} answered with HTTP {status} when asked for {what}: try again later.")
    if isinstance(cause, OfflineModeIsEnabled) or (cause is None and isinstance(error, LocalEntryNotFoundError)):
        return CheckpointError(
            f"{what} is not complete in the local cache, and the network is switched off (HF_HUB_OFFLINE or "
            "`local_files_only`): switch it on once to download it."
        )
    if isinstance(error, LocalEntryNotFoundError) or _is_no_answer(error):
        return CheckpointError(
            f"{endpoint} cannot be reached, and {what} is not complete in the local cache: check the connection and "
            "run it again, finished files are kept."
        )
    return CheckpointError(
        f"The download of {what} from {endpoint} broke off ({type(error).__name__}: {error}): run it again, "
        "finished files are kept."
    )


def explain_upload(error: Exception, repo_id: str, endpoint: str, *, has_token: bool) -> CheckpointError:
    """Turn what the Hub client raised during an upload into a `CheckpointError`.

    Args:
        error: the exception of the Hub client.
        repo_id: the repository that was written to.
        endpoint: address of the Hub.
        has_token: whether a token was sent.
    """
    status = error.response.status_code if isinstance(error, HfHubHTTPError) else None
    if isinstance(error, HFValidationError):
        return CheckpointError(f"{repo_id!r} is not a Hub id (owner/name).")
    if isinstance(error, OfflineModeIsEnabled):
        return CheckpointError(f"{repo_id!r} cannot be written: the network is switched off (HF_HUB_OFFLINE).")
    if _is_no_answer(error):
        return CheckpointError(f"{endpoint} cannot be reached: check the connection and run it again.")
    if status == 401:
        reason = "does not accept your token" if has_token else "asks for a token"
        return CheckpointError(
            f"{endpoint} {reason} to write {repo_id!r}: log in with `hf auth login`, or set HF_TOKEN to a token with "
            "write permission."
        )
    if status == 403:
        return CheckpointError(
            f"Your token may not write {repo_id!r} at {endpoint}: take one with write permission, of somebody who may "
            f"write to {repo_id.split('/')[0]!r}."
        )
    if status is not None:
        return CheckpointError(f"{endpoint} answered with HTTP {status} to writing {repo_id!r}: try again later.")
    return CheckpointError(
        f"Writing {repo_id!r} at {endpoint} failed ({type(error).__name__}: {' '.join(str(error).split())}): run it "
        "again."
    )


def _is_no_answer(error: Exception) -> bool:
    return bool(_NO_ANSWER & {cls.__name__ for cls in type(error).__mro__})
