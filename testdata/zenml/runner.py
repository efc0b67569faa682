"""A flavor of ZenML's orchestrators that runs each step in its image with kanso run, as local_docker does with Docker.

It is copied into the project whose pipeline is run, since ZenML loads it in the container, too. KANSO is the program.
"""

import os
import subprocess
import uuid

from zenml.config.global_config import GlobalConfiguration
from zenml.constants import ENV_ZENML_LOCAL_STORES_PATH
from zenml.entrypoints import StepEntrypointConfiguration
from zenml.orchestrators import BaseOrchestratorConfig, BaseOrchestratorFlavor, ContainerizedOrchestrator

RUN_ID = "KANSO_TEST_RUN"


class Config(BaseOrchestratorConfig):
    @property
    def is_synchronous(self):
        return True


class Orchestrator(ContainerizedOrchestrator):
    def get_orchestrator_run_id(self):
        return os.environ[RUN_ID]

    def submit_pipeline(self, snapshot, stack, base_environment, step_environments, placeholder_run=None):
        stores = GlobalConfiguration().local_stores_path
        run = str(uuid.uuid4())
        for name in snapshot.step_configurations:
            environment = dict(step_environments[name], **{RUN_ID: run, ENV_ZENML_LOCAL_STORES_PATH: stores})
            image = self.get_image(snapshot=snapshot, step_name=name)
            print("kanso runs step", name, "in", image, flush=True)
            command = [os.environ["KANSO"], "run", "--volume", stores + ":" + stores]
            for key in environment:  # the values do not stand on the command line
                command += ["--env", key]
            command += [image, "--"] + StepEntrypointConfiguration.get_entrypoint_command()
            command += StepEntrypointConfiguration.get_entrypoint_arguments(step_name=name, snapshot_id=snapshot.id)
            subprocess.run(command, env=dict(os.environ, **environment), check=True)


class Flavor(BaseOrchestratorFlavor):
    @property
    def name(self):
        return "kanso_run"

    @property
    def config_class(self):
        return Config

    @property
    def implementation_class(self):
        return Orchestrator
