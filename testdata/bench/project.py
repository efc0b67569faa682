"""The project that is built: a Dockerfile as ZenML generates it, and settings that ask for the same image."""
import os
import shutil
import subprocess
import sys

from common import BASE, HERE, INDEX, WORK

REQUIREMENTS_FILE = ".zenml_user_requirements"
CHANGED = "src/team_7/package_15/module_0015.py"
EPOCH = 1_700_000_000

REQUIREMENTS = {
    "none": [],
    "small": ["tabulate", "toolz", "humanize"],
    "real": ["scikit-learn", "pandas", "mlflow-skinny", "boto3", "s3fs"],
}
REQUIREMENTS["huge"] = ["torchlike", *REQUIREMENTS["real"]]
EXTRA = ["inflection", "colorama", "more-itertools", "sortedcontainers", "xmltodict", "wcwidth", "pyfiglet"]


def dockerfile_for(requirements, installer):
    install = []
    if requirements:
        run = {"pip": ["RUN pip install --no-cache-dir --default-timeout=60"],
               "uv": ["RUN pip install uv", "RUN uv pip install --no-cache-dir"]}[installer]
        install = [*run[:-1], f"COPY {REQUIREMENTS_FILE} .", f"{run[-1]} -r {REQUIREMENTS_FILE}"]
    return "\n".join([f"FROM {BASE}", f"ENV PIP_INDEX_URL={INDEX}", "WORKDIR /app", *install, "ENV ZENML_ENABLE_REPO_INIT_WARNINGS=False",
                      "ENV ZENML_CONFIG_PATH=/app/.zenconfig", "COPY . .", "RUN chmod -R a+rw .", ""])


def settings_for(requirements, installer):
    lines = ["settings:", "  docker:", "    install_stack_requirements: false", "    allow_download_from_artifact_store: false",
             f"    environment: {{PIP_INDEX_URL: '{INDEX}'}}", f"    python_package_installer: {installer}"]
    if requirements:
        lines += ["    requirements:", *(f"    - {r}" for r in [f"--index-url {INDEX}", *requirements])]
    return "\n".join([*lines, ""])


class Project:
    """The build context; every scenario leaves it as it was."""

    def __init__(self, installer):
        self.context = f"{WORK}/context"
        if not os.path.exists(f"{self.context}/run.py"):
            subprocess.run([sys.executable, f"{HERE}/gen.py", "project", self.context], check=True)
        os.makedirs(f"{WORK}/dockerfile", exist_ok=True)
        self.dockerfile, self.settings = f"{WORK}/dockerfile/Dockerfile", f"{WORK}/dockerfile/run.yaml"
        self.changed, self.installer = f"{self.context}/{CHANGED}", installer
        if not os.path.exists(f"{WORK}/original"):
            shutil.copy(self.changed, f"{WORK}/original")
        with open(f"{WORK}/original", "rb") as f:
            self.original = f.read()
        self.source("")

    def source(self, note):
        """Change one source file; without a note it is as it was."""
        with open(self.changed, "wb") as f:
            f.write(self.original + (f"\nNOTE = {note!r}\n".encode() if note else b""))
        if not note:
            os.utime(self.changed, (EPOCH, EPOCH))

    def requirements(self, lines):
        path = f"{self.context}/{REQUIREMENTS_FILE}"
        if lines:
            with open(path, "w") as f:
                f.write("\n".join([f"--index-url {INDEX}", *lines]))
            os.utime(path, (EPOCH, EPOCH))
        elif os.path.exists(path):
            os.remove(path)
        with open(self.dockerfile, "w") as f:
            f.write(dockerfile_for(lines, self.installer))
        with open(self.settings, "w") as f:
            f.write(settings_for(lines, self.installer))

    def checkout(self):
        """A new clone has new file times."""
        for base, dirs, files in os.walk(self.context):
            dirs[:] = [d for d in dirs if d not in (".git", ".venv")]
            for name in files:
                os.utime(os.path.join(base, name))
