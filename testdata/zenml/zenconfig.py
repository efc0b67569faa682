"""Records what ZenML 0.12 itself copies of the active stack into a project before it builds an image of it.

    python zenconfig.py DIR

Its version must be imported by this Python (3.8 or 3.9): it is not on the package index any more, so that was made from
the tag 0.12.0 of its repository, with pydantic 1. Its answer is in testdata/zenml/zenconfig. DIR gets stack.yaml, what zenml stack export writes; config.yaml, the
client's own configuration; and zenconfig, the copy for /app/.zenconfig.
"""

import os
import shutil
import sys
import tempfile
from pathlib import PurePosixPath

out = os.path.abspath(sys.argv[1])
os.environ["ZENML_CONFIG_PATH"] = tempfile.mkdtemp()
os.environ["ZENML_ANALYTICS_OPT_IN"] = "false"
os.chdir(tempfile.mkdtemp())

from zenml.cli.cli import cli  # noqa: E402
from zenml.config.global_config import GlobalConfiguration  # noqa: E402


def zenml(*arguments):
    cli(list(arguments), standalone_mode=False)


os.makedirs(out)
zenml("artifact-store", "register", "files", "--flavor=local", "--path=" + os.path.join(os.environ["ZENML_CONFIG_PATH"], "local_stores", "files"))
zenml("metadata-store", "register", "metadata", "--flavor=mysql", "--host=db.example.com", "--username=ml", "--password=planted", "--database=meta")
zenml("container-registry", "register", "registry", "--flavor=default", "--uri=registry.example.com:5000/team")
zenml("orchestrator", "register", "runner", "--flavor=local")
zenml("stack", "register", "prod", "-o", "runner", "-a", "files", "-m", "metadata", "-c", "registry")
zenml("stack", "set", "prod")
zenml("stack", "export", "prod", os.path.join(out, "stack.yaml"))
shutil.copy(os.path.join(os.environ["ZENML_CONFIG_PATH"], "config.yaml"), out)
GlobalConfiguration().copy_active_configuration(os.path.join(out, "zenconfig"), load_config_path=PurePosixPath("/app/.zenconfig"))
