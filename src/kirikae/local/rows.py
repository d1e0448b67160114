"""The rows that kirikae local keeps, and what their keys hold.

Rows of ECS carry AWS's own names; a key that begins with ``_`` is ours and is never shown.  Stamps
are Unix seconds.  Rows are frozen by custom: nobody changes one in place, whoever changes something
puts a new one.  What AWS's clients send and only get back (``Plain``) is not looked into.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NotRequired, TypedDict

from kirikae.local.plain import Plain

# --- what several services have


class Tag(TypedDict):
    """Of ECS."""

    key: str
    value: str


class Tags(TypedDict):
    """The tags of one ARN."""

    tags: list[Tag]


Mark = TypedDict(
    "Mark",
    {
        "is": int,
        "since": float,
    },
    total=False,
)
"""What the control plane remembers of itself: the format of the rows, the last event heard."""


# --- ECS: clusters and settings


class StrategyItem(TypedDict):
    """One entry of a capacity provider strategy."""

    capacityProvider: str
    weight: NotRequired[int]
    base: NotRequired[int]


class Cluster(TypedDict):
    """Keyed by its ARN."""

    clusterArn: str
    clusterName: str
    settings: list[Plain]
    """As they were asked for; without effect here."""
    capacityProviders: list[str]
    defaultCapacityProviderStrategy: list[StrategyItem]
    """For tasks and services that name neither a strategy nor a launch type."""
    configuration: NotRequired[Plain]
    serviceConnectDefaults: NotRequired[Plain]
    """Kept and told; services with Service Connect are refused."""
    deletedAt: NotRequired[float]
    """Unix seconds.  Such a cluster is INACTIVE: it is shown for a while, and takes nothing."""


class Attribute(TypedDict):
    """Of a container instance."""

    name: str
    value: NotRequired[str]
    targetId: NotRequired[str]
    targetType: NotRequired[str]


class Instance(TypedDict):
    """A container instance; keyed by its ARN."""

    containerInstanceArn: str
    clusterArn: str
    ec2InstanceId: str
    status: str
    version: int
    versionInfo: Plain
    attributes: list[Attribute]
    registeredAt: float
    _total: dict[str, int]
    """CPU units and MiB that it was registered with."""


class Provider(TypedDict):
    """A capacity provider of an Auto Scaling group; keyed by its ARN."""

    capacityProviderArn: str
    name: str
    status: str
    autoScalingGroupProvider: Plain


class TaskSet(TypedDict):
    """Of a service with the controller EXTERNAL; keyed by its ARN."""

    id: str
    taskSetArn: str
    serviceArn: str
    clusterArn: str
    status: str
    taskDefinition: str
    scale: Plain
    externalId: str
    launchType: NotRequired[str]
    platformVersion: NotRequired[str]
    capacityProviderStrategy: NotRequired[list[StrategyItem]]
    loadBalancers: list[Plain]
    serviceRegistries: list[Plain]
    networkConfiguration: NotRequired[Plain]
    createdAt: float
    updatedAt: float
    _entry: NotRequired[Deployment]
    """How its tasks are kept; one that older state has without it starts none."""


class Setting(TypedDict):
    """An account setting."""

    name: str
    value: str
    principalArn: str
    """The account's root stands for everybody."""


class Token(TypedDict):
    """What a request with a clientToken brought."""

    at: float
    """When it was first used: it holds for a day."""
    hash: str
    """Of the whole request: the same token with other parameters is a conflict."""
    ids: list[str]
    """Of what the first request made; the answer to the same one again."""


# --- ECS: task definitions


class NamedValue(TypedDict):
    """A variable of a container's environment."""

    name: str
    value: str


class Secret(TypedDict):
    """A variable whose value stands in SSM or Secrets Manager."""

    name: str
    valueFrom: str


class EnvironmentFile(TypedDict):
    """``value``: an S3 object's ARN."""

    value: str
    type: str


class PortMapping(TypedDict):
    """One port, or a range of them (``9000-9010``)."""

    containerPort: NotRequired[int]
    hostPort: NotRequired[int]
    protocol: NotRequired[str]
    containerPortRange: NotRequired[str]
    name: NotRequired[str]
    appProtocol: NotRequired[str]


class HostPort(TypedDict):
    """A port of this machine that a task of the network mode bridge publishes.  ``hostPort`` 0: any
    that is free."""

    containerName: str
    containerPort: int
    hostPort: int
    protocol: str


class PlacementConstraint(TypedDict):
    """``type``: distinctInstance or memberOf."""

    type: str
    expression: NotRequired[str]


class PlacementStrategy(TypedDict):
    """``type``: random, spread or binpack."""

    type: str
    field: NotRequired[str]


class Dependency(TypedDict):
    """``condition``: START, COMPLETE, SUCCESS or HEALTHY."""

    containerName: str
    condition: str


class HealthCheck(TypedDict):
    """Durations in seconds."""

    command: list[str]
    interval: NotRequired[int]
    timeout: NotRequired[int]
    retries: NotRequired[int]
    startPeriod: NotRequired[int]


class RestartPolicy(TypedDict, total=False):
    """Of one container, while its task goes on."""

    enabled: bool
    ignoredExitCodes: list[int]
    restartAttemptPeriod: int


class MountPoint(TypedDict, total=False):
    """A volume in a container."""

    sourceVolume: str
    containerPath: str
    readOnly: bool


class VolumeFrom(TypedDict, total=False):
    """All mounts of another container of the task."""

    sourceContainer: str
    readOnly: bool


class LogConfiguration(TypedDict):
    """``logDriver``: awslogs or json-file."""

    logDriver: str
    options: NotRequired[dict[str, str]]


class Ulimit(TypedDict):
    """A limit of the kernel."""

    name: str
    softLimit: int
    hardLimit: int


class SystemControl(TypedDict, total=False):
    """A sysctl."""

    namespace: str
    value: str


class Tmpfs(TypedDict):
    """``size`` in MiB."""

    containerPath: str
    size: int
    mountOptions: NotRequired[list[str]]


class LinuxParameters(TypedDict, total=False):
    """``capabilities``: add and drop."""

    tmpfs: list[Tmpfs]
    initProcessEnabled: bool
    capabilities: dict[str, list[str]]


class ContainerDefinition(TypedDict):
    """The members that are looked into; others are kept and told."""

    name: str
    image: str
    essential: bool
    cpu: NotRequired[int]
    memory: NotRequired[int]
    """MiB; beyond it the kernel kills the container."""
    memoryReservation: NotRequired[int]
    """MiB; may be exceeded while the machine has room."""
    command: NotRequired[list[str]]
    entryPoint: NotRequired[list[str]]
    workingDirectory: NotRequired[str]
    user: NotRequired[str]
    environment: NotRequired[list[NamedValue]]
    environmentFiles: NotRequired[list[EnvironmentFile]]
    secrets: NotRequired[list[Secret]]
    portMappings: NotRequired[list[PortMapping]]
    dependsOn: NotRequired[list[Dependency]]
    healthCheck: NotRequired[HealthCheck]
    restartPolicy: NotRequired[RestartPolicy]
    mountPoints: NotRequired[list[MountPoint]]
    volumesFrom: NotRequired[list[VolumeFrom]]
    logConfiguration: NotRequired[LogConfiguration]
    ulimits: NotRequired[list[Ulimit]]
    systemControls: NotRequired[list[SystemControl]]
    linuxParameters: NotRequired[LinuxParameters]
    readonlyRootFilesystem: NotRequired[bool]
    dockerLabels: NotRequired[dict[str, str]]
    pseudoTerminal: NotRequired[bool]
    interactive: NotRequired[bool]
    startTimeout: NotRequired[int]
    """Seconds that those who depend on this container wait for its condition."""
    stopTimeout: NotRequired[int]
    """Seconds between SIGTERM and SIGKILL."""
    versionConsistency: NotRequired[str]
    """``disabled``: each task asks anew what the image's tag means."""


class AuthorizationConfig(TypedDict, total=False):
    """Of an EFS volume."""

    accessPointId: str
    iam: str


class Efs(TypedDict):
    """A file system that outlives its tasks."""

    fileSystemId: str
    rootDirectory: NotRequired[str]
    transitEncryption: NotRequired[str]
    transitEncryptionPort: NotRequired[int]
    authorizationConfig: NotRequired[AuthorizationConfig]


class VolumeHost(TypedDict, total=False):
    """Refused if it names a path."""

    sourcePath: str


class Volume(TypedDict):
    """Of a task definition."""

    name: str
    host: NotRequired[VolumeHost]
    efsVolumeConfiguration: NotRequired[Efs]


class Definition(TypedDict):
    """A task definition's revision."""

    taskDefinitionArn: str
    family: str
    revision: int
    status: str
    """ACTIVE, INACTIVE (deregistered) or DELETE_IN_PROGRESS (something still uses it)."""
    containerDefinitions: list[ContainerDefinition]
    volumes: list[Volume]
    networkMode: str
    registeredAt: float
    compatibilities: list[str]
    requiresCompatibilities: NotRequired[list[str]]
    placementConstraints: NotRequired[list[PlacementConstraint]]
    cpu: NotRequired[str]
    """CPU units, 1024 to a vCPU, as text; missing where the containers say it."""
    memory: NotRequired[str]
    """MiB, as text; missing where the containers say it."""
    taskRoleArn: NotRequired[str]
    executionRoleArn: NotRequired[str]
    enableFaultInjection: NotRequired[bool]
    deregisteredAt: NotRequired[float]
    deleteRequestedAt: NotRequired[float]


# --- ECS: tasks


class ContainerOverride(TypedDict, total=False):
    """What RunTask says of one container."""

    name: str
    command: list[str]
    cpu: int
    memory: int
    memoryReservation: int
    environment: list[NamedValue]
    environmentFiles: list[EnvironmentFile]
    resourceRequirements: list[Plain]


class Overrides(TypedDict, total=False):
    """Of RunTask."""

    containerOverrides: list[ContainerOverride]
    inferenceAcceleratorOverrides: list[Plain]
    cpu: str
    memory: str
    taskRoleArn: str
    executionRoleArn: str


class Excused(TypedDict):
    """Checks of one container that failed because the engine was late, and do not count."""

    runs: int
    since: float
    """When the first of them ended."""
    until: float
    """When the last of them ended: each is counted once."""


class Container(TypedDict):
    """A container of a task."""

    name: str
    image: str
    lastStatus: str
    """PENDING, RUNNING or STOPPED."""
    healthStatus: str
    """HEALTHY, UNHEALTHY, or UNKNOWN before the first answer of its check."""
    essential: bool
    """Its end is the task's end."""
    containerArn: str
    _checked: bool
    """Does its definition have a health check?"""
    cpu: NotRequired[str]
    memory: NotRequired[str]
    memoryReservation: NotRequired[str]
    imageDigest: NotRequired[str]
    runtimeId: NotRequired[str]
    """The engine's ID of it."""
    networkBindings: NotRequired[list[Plain]]
    """Ports of this machine; of the network mode bridge alone."""
    exitCode: NotRequired[int]
    reason: NotRequired[str]
    """Why it has stopped, with the ECS agent's prefix, such as ``OutOfMemoryError``."""
    _imageId: NotRequired[str]
    """The engine's: a tag may mean another image meanwhile."""
    _began: NotRequired[float]
    """When its start was written down, before the engine heard of it."""
    _finished: NotRequired[str]
    """The engine's stamp of its end; ``gone`` if somebody removed it."""
    _handled: NotRequired[str]
    """The end (its stamp) after which it was started again."""
    _restarts: NotRequired[int]
    """Starts after the first, by its restartPolicy."""
    _excused: NotRequired[Excused]


class ContainerSeen(TypedDict, total=False):
    """What one look at the engine changes of a container."""

    lastStatus: str
    healthStatus: str
    runtimeId: str
    exitCode: int
    reason: str
    _finished: str
    _excused: Excused


class Binding(TypedDict):
    """A container's port in a target group."""

    targetGroupArn: str
    containerName: str
    containerPort: int
    advancedConfiguration: NotRequired[Advanced]


class Advanced(TypedDict):
    """What a deployment that shifts traffic needs: a second group, and the rules that it turns."""

    alternateTargetGroupArn: str
    productionListenerRule: str
    testListenerRule: NotRequired[str]
    roleArn: str


class Task(TypedDict):
    """Keyed by its ID."""

    id: str
    taskArn: str
    clusterArn: str
    taskDefinitionArn: str
    group: str
    """``family:...``, or ``service:...`` of a service's task."""
    startedBy: str
    """The ``ecs-svc/...`` deployment of a service's task."""
    desiredStatus: str
    """RUNNING, or STOPPED once somebody has asked for its end; it never goes back."""
    lastStatus: str
    """PROVISIONING, PENDING, RUNNING, DEACTIVATING, STOPPING, DEPROVISIONING or STOPPED."""
    healthStatus: str
    """The worst of its essential containers that have a check."""
    connectivity: str
    version: int
    """Rises by one with each step of its life."""
    containers: list[Container]
    overrides: Overrides
    cpu: str
    memory: str
    stopCode: str
    """Such as TaskFailedToStart or EssentialContainerExited; empty while it is wanted."""
    stoppedReason: str
    """In AWS's words; the first reason given stays."""
    createdAt: float
    enableExecuteCommand: NotRequired[bool]
    _bindings: list[Binding]
    """Where it is registered while it runs; none for a task of its own."""
    _revision: str
    """The service revision that it runs; empty for a task of its own."""
    pullStartedAt: NotRequired[float]
    pullStoppedAt: NotRequired[float]
    startedAt: NotRequired[float]
    stoppingAt: NotRequired[float]
    executionStoppedAt: NotRequired[float]
    stoppedAt: NotRequired[float]
    capacityProviderName: NotRequired[str]
    containerInstanceArn: NotRequired[str]
    """Of the launch type EC2: the record where it is placed."""
    platformVersion: NotRequired[str]
    address: NotRequired[str]
    """On the instance's bridge; missing before it has a network."""
    _ports: NotRequired[list[HostPort]]
    """Those of this machine that it publishes; missing where its network mode is awsvpc."""
    _subnet: NotRequired[str]
    """The first of those that were asked for."""
    _pause: NotRequired[str]
    """The pause container that holds its network."""
    _pulled: NotRequired[bool]
    """All its containers are made."""
    _draining: NotRequired[bool]
    """Its service has told that it drains: told once, also after a restart."""
    _wasHealthy: NotRequired[bool]
    """It counted towards the minimum once: its end is no failure to start."""
    _unwell: NotRequired[bool]
    """It was stopped because it failed its checks."""
    _counted: NotRequired[bool]
    """Its failure is counted by its service."""
    _protectedUntil: NotRequired[float]
    """Scale-in protection ends then; a past moment means none."""


class TaskChange(TypedDict, total=False):
    """What a step of a task's life writes down."""

    desiredStatus: str
    lastStatus: str
    healthStatus: str
    connectivity: str
    containers: list[Container]
    stopCode: str
    stoppedReason: str
    pullStartedAt: float
    pullStoppedAt: float
    startedAt: float
    stoppingAt: float
    executionStoppedAt: float
    stoppedAt: float
    address: str
    _pause: str
    _pulled: bool
    _draining: bool


class Pause(TypedDict):
    """A pause container of the pool."""

    name: str
    address: str


class Delivered(TypedDict):
    """The engine's stamp of a container's last line that CloudWatch Logs has."""

    stamp: str


# --- ECS: services


class Event(TypedDict):
    """What a service tells."""

    id: str
    createdAt: float
    message: str


class Threshold(TypedDict, total=False):
    """How many failures trip the circuit breaker."""

    type: str
    value: int


class Breaker(TypedDict):
    """The deployment circuit breaker."""

    enable: bool
    rollback: bool
    resetOnHealthyTask: NotRequired[bool]
    thresholdConfiguration: NotRequired[Threshold]


class Alarms(TypedDict):
    """The alarms that end a deployment."""

    alarmNames: list[str]
    enable: bool
    rollback: bool


class Strategy(TypedDict):
    """How traffic goes over to a new revision, in a request's own words; checked."""

    strategy: str
    """ROLLING, BLUE_GREEN, LINEAR or CANARY."""
    bakeTimeInMinutes: NotRequired[int]
    linearConfiguration: NotRequired[Plain]
    canaryConfiguration: NotRequired[Plain]
    lifecycleHooks: NotRequired[list[Plain]]
    alarms: NotRequired[Alarms]


class Configuration(TypedDict):
    """How a service deploys."""

    minimumHealthyPercent: int
    maximumPercent: int
    deploymentCircuitBreaker: Breaker
    _deploys: NotRequired[Strategy]
    """Rolling, without alarms, where it is not said."""


class Deployment(TypedDict):
    """An entry of a service's ``deployments``."""

    id: str
    """``ecs-svc/`` and a number; the tasks that it started bear it."""
    taskDefinition: str
    createdAt: float
    updatedAt: float
    rolloutState: str
    """IN_PROGRESS, COMPLETED or FAILED."""
    rolloutStateReason: str
    failedTasks: int
    """As AWS shows it; never set back."""
    networkConfiguration: NotRequired[Plain]
    platformVersion: NotRequired[str]
    launchType: NotRequired[str]
    capacityProviderStrategy: NotRequired[list[StrategyItem]]
    _revision: str
    """ARN of what it runs."""
    _serviceDeployment: str
    """ARN of the way that it is part of; a roll-back shares the failed one's."""
    _inARow: int
    """Tasks that ended before they were ever healthy, since the last one that was."""
    _counted: int
    """Failures that the circuit breaker counts."""
    _notBefore: float
    """No task is started before this moment."""


class Service(TypedDict):
    """Keyed by its ARN; INACTIVE ones stay."""

    serviceArn: str
    serviceName: str
    clusterArn: str
    status: str
    """ACTIVE, DRAINING (deleted, tasks still stop) or INACTIVE."""
    desiredCount: int
    taskDefinition: str
    loadBalancers: list[Binding]
    createdAt: float
    createdBy: str
    events: list[Event]
    """Newest first, a hundred at most."""
    deployments: list[Deployment]
    """Newest first; several while one replaces another."""
    propagateTags: str
    enableECSManagedTags: bool
    enableExecuteCommand: bool
    availabilityZoneRebalancing: str
    healthCheckGracePeriodSeconds: int
    """From a task's start on; meanwhile failed checks do not replace it."""
    platformVersion: str
    minimumHealthyPercent: int
    maximumPercent: int
    deploymentCircuitBreaker: Breaker
    _deploys: NotRequired[Strategy]
    networkConfiguration: NotRequired[Plain]
    launchType: NotRequired[str]
    capacityProviderStrategy: NotRequired[list[StrategyItem]]
    placementConstraints: NotRequired[list[PlacementConstraint]]
    placementStrategy: NotRequired[list[PlacementStrategy]]
    monitoring: NotRequired[Plain]
    """How fine its figures of CPU and memory are."""
    _heldToFargate: NotRequired[bool]
    """Was it made by a request that said Fargate?  Its definitions must be for it then."""
    _controller: NotRequired[str]
    """``ECS`` where it is not said; whoever is EXTERNAL keeps his task sets himself."""
    _lastGood: NotRequired[str]
    """The last revision of which a deployment was completed."""


class ServiceChange(TypedDict, total=False):
    """What UpdateService may change."""

    desiredCount: int
    taskDefinition: str
    loadBalancers: list[Binding]
    propagateTags: str
    enableECSManagedTags: bool
    enableExecuteCommand: bool
    availabilityZoneRebalancing: str
    healthCheckGracePeriodSeconds: int
    platformVersion: str
    networkConfiguration: Plain
    launchType: str
    capacityProviderStrategy: list[StrategyItem]
    placementConstraints: list[PlacementConstraint]
    placementStrategy: list[PlacementStrategy]
    monitoring: Plain
    deployments: list[Deployment]


class Running(TypedDict, total=False):
    """The part of a service that a revision fixes."""

    taskDefinition: str
    loadBalancers: list[Binding]
    networkConfiguration: Plain
    platformVersion: str
    launchType: str
    capacityProviderStrategy: list[StrategyItem]


class Revision(TypedDict):
    """What one deployment of a service runs, fixed for ever."""

    serviceRevisionArn: str
    serviceArn: str
    clusterArn: str
    createdAt: float
    taskDefinition: str
    loadBalancers: NotRequired[list[Binding]]
    networkConfiguration: NotRequired[Plain]
    platformVersion: NotRequired[str]
    launchType: NotRequired[str]
    capacityProviderStrategy: NotRequired[list[StrategyItem]]
    _images: dict[str, str]
    """Container -> the engine's image ID, as its first task settled it."""
    _bindings: NotRequired[list[Binding]]
    """Where its tasks are registered, of the two groups that its load balancers name."""


class Rollback(TypedDict):
    """Why and whereto a service deployment goes back."""

    reason: str
    startedAt: float
    serviceRevisionArn: str


class ServiceDeployment(TypedDict):
    """One way of a service from a revision to another."""

    serviceDeploymentArn: str
    serviceArn: str
    clusterArn: str
    createdAt: float
    startedAt: float
    updatedAt: float
    status: str
    """IN_PROGRESS or ROLLBACK_IN_PROGRESS, else one of ``deployments.FINAL``."""
    finishedAt: NotRequired[float]
    stoppedAt: NotRequired[float]
    statusReason: NotRequired[str]
    rollback: NotRequired[Rollback]
    _target: str
    """ARN of the revision that it leads to."""
    _sources: list[str]
    """ARNs of the revisions that ran when it began."""
    _failures: NotRequired[int]
    """What the circuit breaker had counted when it tripped."""
    _course: NotRequired[Course]
    """Of one that shifts traffic."""
    _watch: NotRequired[Watch]
    """Of one that alarms end."""


class HookRun(TypedDict):
    """A lifecycle hook at one stage of one deployment."""

    id: str
    stage: str
    targetType: str
    """AWS_LAMBDA or PAUSE."""
    target: str
    """The function's ARN; empty for a pause."""
    status: str
    """AWAITING_ACTION, IN_PROGRESS, SUCCEEDED, FAILED or TIMED_OUT."""
    details: object
    """What the function is given, or gave itself the last time."""
    due: float
    """It is not called before this moment."""
    expiresAt: float
    timeoutAction: str
    """ROLLBACK or CONTINUE."""


class Course(TypedDict):
    """How far a deployment that shifts traffic has come; all moments are Unix seconds."""

    stage: str
    source: str
    """The revision that it comes from, and goes back to; empty for a service's first."""
    shares: list[int]
    """Permille of the production traffic, step by step, up to all of it."""
    step: int
    step_bake_s: float
    bake_s: float
    production: int
    """Permille that the new revision is to have now."""
    test: int
    shifted: bool
    """Does the load balancer do what ``production`` and ``test`` say?"""
    until: NotRequired[float]
    """The stage ends at this moment at the earliest."""
    lifecycleHooks: list[Plain]
    """As they were asked for when it began."""
    hooks: list[HookRun]
    """Those that were reached, the newest last."""
    back: str
    """Why it goes back; empty while it does not."""


class Watch(TypedDict):
    """The alarms of one deployment."""

    names: list[str]
    rollback: bool
    status: str
    """MONITORING, TRIGGERED, MONITORING_COMPLETE or DISABLED; empty before they were first read."""
    triggered: list[str]
    bake_s: float
    """For how long a rolling deployment is watched after its last task."""
    until: NotRequired[float]
    """A rolling deployment is complete at this moment at the earliest."""


# --- Elastic Load Balancing: our own names, shown as AWS's


class ElbTag(TypedDict):
    """Of Elastic Load Balancing, which writes its keys large."""

    Key: str
    Value: str


class BalancerPlace(TypedDict):
    """Where a load balancer would have its addresses."""

    subnets: list[str]
    zones: NotRequired[dict[str, str]]
    """Subnet -> its zone, where it is known."""
    mappings: NotRequired[list[Plain]]
    """Fixed addresses of its subnets, as they were asked for."""
    vpc: NotRequired[str]


class Balancer(BalancerPlace):
    """A load balancer."""

    id: str
    name: str
    arn: str
    created: float
    scheme: str
    type: NotRequired[str]
    """``application`` where it is not said; the others are only kept and told."""
    address_type: NotRequired[str]
    groups: list[str]
    attributes: dict[str, str]
    """All of them, with the default where nobody set one."""
    tags: list[ElbTag]


class Check(TypedDict):
    """How the targets of a group are checked."""

    check_path: str
    check_port: str
    """A number as text, or ``traffic-port``: the target's own."""
    interval_s: int
    timeout_s: int
    healthy_threshold: int
    """Passed checks in a row."""
    unhealthy_threshold: int
    """Failed checks in a row."""
    matcher: str
    """Status codes that pass, such as ``200``, ``200,302`` or ``200-299``."""
    check_protocol: NotRequired[str]
    """``HTTP`` where it is not said; others belong to groups that are only kept."""
    check_enabled: NotRequired[bool]


class CheckChange(TypedDict, total=False):
    """What a request says of a group's check."""

    check_path: str
    check_port: str
    interval_s: int
    timeout_s: int
    healthy_threshold: int
    unhealthy_threshold: int
    matcher: str
    check_protocol: str
    check_enabled: bool


class Group(Check):
    """A target group."""

    id: str
    name: str
    arn: str
    port: int
    vpc: str
    target_type: NotRequired[str]
    """``ip`` where it is not said; other targets are kept and asked nothing."""
    protocol: NotRequired[str]
    """``HTTP`` where it is not said; empty for functions."""
    protocol_version: NotRequired[str]
    address_type: NotRequired[str]
    number: int
    """HAProxy's number of the backend."""
    attributes: dict[str, str]
    """All of them, with the default where nobody set one."""
    tags: list[ElbTag]


class ListenerForm(TypedDict, total=False):
    """How a listener speaks; HTTP and HTTPS are carried out, the rest is kept and told."""

    protocol: str
    """``HTTP`` where it is not said; empty for gateways."""
    certificates: list[str]
    """ARNs; the default one is the first."""
    pems: list[str]
    """Their files, in the same order; none for a listener that is only kept."""
    policy: str
    alpn: list[str]
    mutual: Plain


class Listener(ListenerForm):
    """Keyed by its ARN; its default action is a rule."""

    id: str
    arn: str
    balancer: str
    port: int
    """0 for gateways' listeners, which have none."""
    attributes: NotRequired[dict[str, str]]
    """Those that were set."""
    tags: list[ElbTag]


class GroupWeight(TypedDict):
    """A target group of a forwarding action; without a weight it counts 1."""

    TargetGroupArn: str
    Weight: NotRequired[int]


class Stickiness(TypedDict, total=False):
    """Of a forwarding action: whether a client stays with its target group."""

    Enabled: bool
    DurationSeconds: int


class Forward(TypedDict, total=False):
    """To target groups by weight."""

    TargetGroups: list[GroupWeight]
    TargetGroupStickinessConfig: Stickiness


class FixedResponse(TypedDict):
    """An answer of the load balancer's own."""

    StatusCode: str
    MessageBody: NotRequired[str]
    ContentType: NotRequired[str]


class Redirect(TypedDict):
    """What is not given stays as the request has it."""

    StatusCode: str
    Protocol: NotRequired[str]
    Host: NotRequired[str]
    Port: NotRequired[str]
    Path: NotRequired[str]
    Query: NotRequired[str]


class Action(TypedDict):
    """``Type``: forward, redirect or fixed-response."""

    Type: str
    TargetGroupArn: NotRequired[str]
    ForwardConfig: NotRequired[Forward]
    FixedResponseConfig: NotRequired[FixedResponse]
    RedirectConfig: NotRequired[Redirect]


class Compared(TypedDict, total=False):
    """What a condition compares with."""

    Values: list[str]
    RegexValues: list[str]
    HttpHeaderName: str


class QueryPair(TypedDict):
    """Without a key: this value of any key."""

    Value: str
    Key: NotRequired[str]


class QueryString(TypedDict, total=False):
    """Of a condition on the query."""

    Values: list[QueryPair]


class Condition(TypedDict):
    """``Values`` is the older form of several fields."""

    Field: str
    Values: NotRequired[list[str]]
    HostHeaderConfig: NotRequired[Compared]
    PathPatternConfig: NotRequired[Compared]
    HttpHeaderConfig: NotRequired[Compared]
    HttpRequestMethodConfig: NotRequired[Compared]
    SourceIpConfig: NotRequired[Compared]
    QueryStringConfig: NotRequired[QueryString]


class Rule(TypedDict):
    """Keyed by its ARN; the default rule has priority 0 and comes last."""

    id: str
    arn: str
    listener: str
    priority: int
    default: bool
    conditions: list[Condition]
    actions: list[Action]
    tags: list[ElbTag]


class Health(TypedDict):
    """What the checks of a target have shown."""

    state: Literal["initial", "healthy", "unhealthy", "draining"]
    reason: str
    """AWS's reason code; empty while it is healthy."""
    passes: int
    """Checks passed in a row."""
    failures: int
    """Checks failed in a row."""
    doubted: NotRequired[float]
    """Since when its failures do not count, because this machine was too busy to check."""


class Target(Health):
    """Keyed by ``key``."""

    key: str
    """``group|address:port``."""
    group: str
    address: str
    port: int
    slot: int
    """HAProxy's server line."""
    until: NotRequired[float]
    """When its draining ends at the latest."""


# --- SQS


class Queue(TypedDict):
    """Keyed by its name; stamps are Unix seconds."""

    attributes: dict[str, str]
    tags: dict[str, str]
    created: int
    modified: int
    purged: float
    """When PurgeQueue was last carried out: once a minute is allowed."""


class MessageAttribute(TypedDict):
    """``DataType``: String, Number or Binary, and what a user adds to it."""

    DataType: str
    StringValue: NotRequired[str]
    BinaryValue: NotRequired[str | bytes]


class Message(TypedDict):
    """As its table's columns are; stamps are milliseconds."""

    seq: int
    queue: str
    id: str
    body: str
    attributes: str
    system: str
    grp: str
    dedup: str
    sent: int
    visible: int
    """Nobody receives it before this moment."""
    receipt: str
    """Of the newest time that it was received; only this one deletes it."""
    received: int
    """How often it was received; a dead-letter queue takes it by this."""
    first: int
    source: str
    """The queue that it came from as a dead letter; empty for any other."""


# --- figures


class Counted(TypedDict):
    """One second of a listener or target group: counts by name, requests by whole millisecond."""

    counts: Mapping[str, int]
    times: Mapping[int, int]


Gauge = Mapping[str, float]
"""Name of a metric -> its value at one moment."""
