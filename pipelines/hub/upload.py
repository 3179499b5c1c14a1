"""Upload to the Hub: all files of a checkpoint in one commit, or none of them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from huggingface_hub import CommitOperationAdd, HfApi, get_token
from huggingface_hub.hf_api import RepoFile
from huggingface_hub.utils import filter_repo_objects

from pipelines.hub.errors import CheckpointError, explain_upload
from pipelines.hub.snapshot import ALLOWED, hub_endpoint


def upload_files(repo_id: str, files: Mapping[str, Path | bytes], *, private: bool = False, message: str) -> str:
    """Write files to the main branch of a model repository, which is made if needed.

    The token is the one that huggingface_hub finds: HF_TOKEN, or that of `hf auth login`.

    Args:
        repo_id: `owner/name`.
        files: a file or its content, by path in the repository.
        private: a new repository is private, and one that is public is refused.
        message: of the commit.

    Returns:
        The commit.

    Raises:
        CheckpointError: offline, no token, no permission, or the repository is public or holds files of another
            checkpoint that would be loaded together with these; none of the files is in the repository then.
    """
    endpoint = hub_endpoint()
    api = HfApi(endpoint=endpoint)
    additions = [CommitOperationAdd(path, content) for path, content in files.items()]
    try:
        api.create_repo(repo_id, private=private or None, exist_ok=True)
        head = _checked_head(api, repo_id, set(files), private)
        return str(api.create_commit(repo_id, additions, commit_message=message, parent_commit=head).oid)
    except CheckpointError:
        raise
    except Exception as error:  # the errors of the HTTP library below are not all wrapped
        raise explain_upload(error, repo_id, endpoint, has_token=get_token() is not None) from error


def _checked_head(api: HfApi, repo_id: str, names: set[str], private: bool) -> str:
    """Return the commit that the files will follow; refuse a repository that they must not go into."""
    info = api.model_info(repo_id)
    if private and not info.private:  # the Hub leaves a repository that exists as it is
        raise CheckpointError(
            f"{repo_id!r} exists and is public, nothing was sent: make it private in its settings, or leave out "
            "--private."
        )
    tree = api.list_repo_tree(repo_id, recursive=True, revision=info.sha)
    held = [entry.path for entry in tree if isinstance(entry, RepoFile)]
    others = sorted(set(filter_repo_objects(held, allow_patterns=ALLOWED)) - names)
    if others:
        raise CheckpointError(
            f"{repo_id!r} holds {', '.join(others)}, which this checkpoint does not have, nothing was sent: delete "
            "them there, or give another --repo-id."
        )
    return str(info.sha)
