// The life of a service through the AWS SDK for JavaScript v3, as anybody would write it for AWS itself.
import assert from "node:assert/strict";
import { createRequire } from "node:module";
const require = createRequire(process.env.CLIENTS + "/"); // where npm put the SDK
const ecs = require("@aws-sdk/client-ecs");
const elb = require("@aws-sdk/client-elastic-load-balancing-v2");

const [name, image] = process.argv.slice(2);
const client = new ecs.ECSClient({});
const send = (Command, input) => client.send(new Command(input));
const wait = { client, maxWaitTime: 120, minDelay: 1, maxDelay: 2 };
const service = { cluster: name, services: ["app"] };

const define = async (image) =>
  (await send(ecs.RegisterTaskDefinitionCommand, {
    family: name, requiresCompatibilities: ["FARGATE"], networkMode: "awsvpc", cpu: "256", memory: "512",
    containerDefinitions: [{
      name: "app", image, command: ["sleep", "1000"], stopTimeout: 2,
      healthCheck: { command: ["CMD-SHELL", "true"], interval: 5, timeout: 2, retries: 1 },
    }],
  })).taskDefinition.taskDefinitionArn;
const seen = async () => (await send(ecs.DescribeServicesCommand, service)).services[0];
const update = (input) => send(ecs.UpdateServiceCommand, { cluster: name, service: "app", ...input });
const stable = () => ecs.waitUntilServicesStable(wait, service);

await send(ecs.CreateClusterCommand, { clusterName: name });
const created = (await send(ecs.CreateServiceCommand, {
  cluster: name, serviceName: "app", taskDefinition: await define(image), desiredCount: 1, launchType: "FARGATE",
  networkConfiguration: { awsvpcConfiguration: { subnets: ["subnet-1"], assignPublicIp: "DISABLED" } },
  deploymentConfiguration: { deploymentCircuitBreaker: { enable: true, rollback: true } },
})).service;
assert(created.createdAt instanceof Date);
await stable();

const next = await define(image);
await update({ taskDefinition: next });
await stable();
assert.equal((await seen()).taskDefinition, next);

await update({ taskDefinition: await define("no-such-image:1") });
for (;;) {
  const listed = await send(ecs.ListServiceDeploymentsCommand, { cluster: name, service: "app" });
  if (listed.serviceDeployments[0].status === "ROLLBACK_SUCCESSFUL") break;
  await new Promise((done) => setTimeout(done, 500));
}
await stable();
assert.equal((await seen()).taskDefinition, next);

const canary = { canaryPercent: 10, canaryBakeTimeInMinutes: 60 };
await update({
  taskDefinition: await define(image),
  deploymentConfiguration: { strategy: "CANARY", bakeTimeInMinutes: 0, canaryConfiguration: canary },
});
const latest = async () => {
  const listed = await send(ecs.ListServiceDeploymentsCommand, { cluster: name, service: "app" });
  const arns = [listed.serviceDeployments[0].serviceDeploymentArn];
  return (await send(ecs.DescribeServiceDeploymentsCommand, { serviceDeploymentArns: arns })).serviceDeployments[0];
};
const until = async (claim) => {
  for (;;) {
    const way = await latest();
    if (claim(way)) return way;
    await new Promise((done) => setTimeout(done, 500));
  }
};
const way = await until((way) => way.lifecycleStage === "PRODUCTION_TRAFFIC_SHIFT");
assert.equal(way.targetServiceRevision.requestedProductionTrafficWeight, 10);
await send(ecs.StopServiceDeploymentCommand, { serviceDeploymentArn: way.serviceDeploymentArn, stopType: "ROLLBACK" });
await until((way) => way.status === "ROLLBACK_SUCCESSFUL");
await stable();
assert.equal((await seen()).taskDefinition, next);

await update({ desiredCount: 2 });
await stable();
assert.equal((await seen()).runningCount, 2);

const run = await send(ecs.RunTaskCommand, {
  cluster: name, taskDefinition: next,
  overrides: { containerOverrides: [{ name: "app", command: ["sh", "-c", "exit 7"] }] },
});
const tasks = { cluster: name, tasks: [run.tasks[0].taskArn] };
await ecs.waitUntilTasksStopped(wait, tasks);
assert.equal((await send(ecs.DescribeTasksCommand, tasks)).tasks[0].containers[0].exitCode, 7);

await assert.rejects(send(ecs.DescribeServicesCommand, { cluster: "nowhere", services: ["app"] }), ecs.ClusterNotFoundException);
await assert.rejects(send(ecs.UpdateServiceCommand, { cluster: name, service: "none" }), ecs.ServiceNotFoundException);
const balancers = new elb.ElasticLoadBalancingV2Client({});
await assert.rejects(balancers.send(new elb.DescribeTargetGroupsCommand({ Names: ["none"] })), elb.TargetGroupNotFoundException);

await send(ecs.DeleteServiceCommand, { cluster: name, service: "app", force: true });
await ecs.waitUntilServicesInactive(wait, service);
await send(ecs.DeleteClusterCommand, { cluster: name });
