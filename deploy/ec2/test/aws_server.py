"""AWS for the test of foodpipeline.sh: moto's server, and the host that moto has not.

moto records a command sent over SSM and calls it successful. Here it is run, as the agent on a host would: by a shell, in
the environment of this process, with its output and exit code as the command's. And an instance is not known to SSM at the
first try, as right after its boot. Where moto differs from AWS: a bucket's policy is kept but not enforced, as moto leaves its
conditions out ("not without TLS" would be "not"); a change set without changes is made, and says so, instead of an error; a
stack can be protected after it was made, though moto deletes it all the same. Everything else is moto's; it does not wait
for wait conditions, makes no alarms, and boots nothing.

usage: aws_server.py PORT
"""

import subprocess
import sys
import threading

from moto.cloudformation.exceptions import ValidationError
from moto.cloudformation.models import CloudFormationBackend
from moto.cloudformation.responses import CloudFormationResponse
from moto.core.responses import ActionResult
from moto.iam.access_control import PermissionResult
from moto.s3.models import FakeBucket
from moto.server import main
from moto.ssm import models
from moto.ssm.exceptions import SSMException

known, unchanged = set(), set()
validated = CloudFormationResponse._validate_different_update
created = CloudFormationBackend.create_change_set
recorded = models.SimpleSystemManagerBackend.send_command


def send_command(self, **request):
    for instance in request["instance_ids"]:
        if instance not in known:
            known.add(instance)
            raise SSMException("InvalidInstanceId", f"Instances not in a valid state: {instance}")
    command = recorded(self, **request)
    for invocation in command.invocations:
        invocation.update(Status="InProgress", ResponseCode=-1)
        threading.Thread(target=run, args=(command, invocation), daemon=True).start()
    return command


def run(command, invocation):
    done = subprocess.run(
        ["sh", "-c", "\n".join(command.parameters["commands"])], capture_output=True, text=True, check=False
    )
    invocation.update(
        StandardOutputContent=done.stdout[:24000],
        StandardErrorContent=done.stderr[:8000],
        ResponseCode=done.returncode,
        Status="Success" if done.returncode == 0 else "Failed",
    )


def note_unchanged(self, *update):
    try:
        validated(self, *update)
    except ValidationError:
        unchanged.add(update[-1].name)


def create_change_set(self, **request):
    made = created(self, **request)
    if request["stack_name"] in unchanged:
        unchanged.remove(request["stack_name"])
        change_set = self.change_sets[made[0]]
        change_set.status, change_set.execution_status = "FAILED", "UNAVAILABLE"
        change_set.status_reason = "The submitted information didn't contain changes."
    return made


def update_termination_protection(self):
    stack = self.cloudformation_backend.get_stack(self._get_param("StackName"))
    stack.enable_termination_protection = self._get_bool_param("EnableTerminationProtection")
    return ActionResult({"StackId": stack.stack_id})


CloudFormationResponse.update_termination_protection = update_termination_protection
CloudFormationResponse._validate_different_update = note_unchanged
CloudFormationBackend.create_change_set = create_change_set
FakeBucket.get_permission = lambda *_: PermissionResult.NEUTRAL
models.SimpleSystemManagerBackend.send_command = send_command
main(["--host", "127.0.0.1", "--port", sys.argv[1]])
