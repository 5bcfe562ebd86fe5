"""A foreign client in Python: the package `kubernetes`, against the cluster of $KUBECONFIG.

The cluster has the pods `web` (an HTTP echo server) and `tools` (a shell) in `default`. Each function is one family of
calls; the first that gets a wrong answer ends the script with a traceback.
"""

import base64
import json
import os
import sys
import tempfile
import threading
import time

from kubernetes import client, config, dynamic, utils, watch
from kubernetes.client.rest import ApiException
from kubernetes.dynamic.exceptions import ConflictError, NotFoundError
from kubernetes.stream import portforward, stream

NAMESPACE = "python"
PATIENCE = 60

core = apps = api = None


def eventually(check):
    """Looks until the condition holds."""
    end = time.monotonic() + PATIENCE
    while not check():
        assert time.monotonic() < end, f"in vain: {check}"
        time.sleep(0.05)


def refused(code, reason, call, *arguments, **named):
    """The Status of a call that must be refused."""
    try:
        answer = call(*arguments, **named)
    except ApiException as refusal:
        status = json.loads(refusal.body)
        assert refusal.status == code == status["code"] and status["reason"] == reason, status
        assert status["kind"] == "Status" and status["status"] == "Failure", status
        return status
    raise AssertionError(f"expected {code} {reason}: {answer}")


def sending(content_type):
    """The client with this content type, where it would choose another one."""
    return client.ApiClient(header_name="Content-Type", header_value=content_type)


def config_map(name, data, labels=None):
    return client.V1ConfigMap(metadata=client.V1ObjectMeta(name=name, labels=labels), data=data)


def versions_and_discovery():
    version = client.VersionApi(api).get_code()
    assert version.git_version.startswith("v1.37."), version
    groups = {group.name for group in client.ApisApi(api).get_api_versions().groups}
    assert {"apps", "batch", "rbac.authorization.k8s.io", "apiextensions.k8s.io"} <= groups, groups
    resources = {resource.name for resource in core.get_api_resources().resources}
    assert {"pods", "pods/exec", "configmaps", "serviceaccounts/token"} <= resources, resources


def reads_and_writes():
    made = core.create_namespaced_config_map(NAMESPACE, config_map("one", {"a": "1"}), field_manager="python-test")
    assert made.metadata.uid and made.metadata.creation_timestamp.tzinfo, made
    assert made.metadata.managed_fields[0].manager == "python-test", made
    assert core.read_namespaced_config_map("one", NAMESPACE).data == {"a": "1"}
    dry = core.create_namespaced_config_map(NAMESPACE, config_map("dry", {}), dry_run="All")
    assert dry.metadata.uid
    refused(404, "NotFound", core.read_namespaced_config_map, "dry", NAMESPACE)

    made.data["a"] = "2"
    replaced = core.replace_namespaced_config_map("one", NAMESPACE, made)
    assert replaced.data == {"a": "2"} and replaced.metadata.resource_version != made.metadata.resource_version
    conflict = refused(409, "Conflict", core.replace_namespaced_config_map, "one", NAMESPACE, made)
    assert conflict["details"] == {"name": "one", "kind": "configmaps"}, conflict
    assert conflict["message"] == (
        'Operation cannot be fulfilled on configmaps "one": the object has been modified; '
        "please apply your changes to the latest version and try again"
    )

    body, code, headers = core.read_namespaced_config_map_with_http_info("one", NAMESPACE)
    assert code == 200 and headers["Content-Type"] == "application/json" and "Audit-Id" in headers, headers
    raw = core.read_namespaced_config_map("one", NAMESPACE, _preload_content=False)
    assert json.loads(raw.data)["data"] == {"a": "2"}

    secret = core.create_namespaced_secret(
        NAMESPACE, client.V1Secret(metadata=client.V1ObjectMeta(generate_name="s-"), string_data={"k": "v"})
    )
    assert secret.metadata.name.startswith("s-") and base64.b64decode(secret.data["k"]) == b"v"
    deleted = core.delete_namespaced_secret(secret.metadata.name, NAMESPACE)
    assert deleted.status == "Success" and deleted.details.uid == secret.metadata.uid, deleted
    wrong = client.V1DeleteOptions(preconditions=client.V1Preconditions(uid="another"))
    refused(409, "Conflict", core.delete_namespaced_config_map, "one", NAMESPACE, body=wrong)
    core.delete_namespaced_config_map("one", NAMESPACE)
    gone = refused(404, "NotFound", core.delete_namespaced_config_map, "one", NAMESPACE)
    assert gone["message"] == 'configmaps "one" not found'


def refusals():
    core.create_namespaced_config_map(NAMESPACE, config_map("taken", {}))
    refused(409, "AlreadyExists", core.create_namespaced_config_map, NAMESPACE, config_map("taken", {}))
    invalid = refused(422, "Invalid", core.create_namespaced_config_map, NAMESPACE, config_map("Not_A_Name", {}))
    assert [cause["field"] for cause in invalid["details"]["causes"]] == ["metadata.name"], invalid
    pod = {"metadata": {"name": "x"}, "spec": {"containers": [{"name": "c"}, {"name": "c", "image": "i"}]}}
    invalid = refused(422, "Invalid", core.create_namespaced_pod, NAMESPACE, pod)
    fields = {cause["field"]: cause["reason"] for cause in invalid["details"]["causes"]}
    assert fields["spec.containers[0].image"] == "FieldValueRequired", fields
    assert fields["spec.containers[1].name"] == "FieldValueDuplicate", fields
    strict = refused(
        400, "BadRequest", core.create_namespaced_config_map, NAMESPACE,
        {"metadata": {"name": "x"}, "nonsense": 1}, field_validation="Strict",
    )
    assert 'unknown field "nonsense"' in strict["message"], strict
    refused(400, "BadRequest", core.list_namespaced_pod, NAMESPACE, field_selector="spec.nonsense=1")
    refused(400, "BadRequest", core.list_namespaced_pod, NAMESPACE, label_selector="a in b")
    refused(404, "NotFound", core.read_namespaced_pod, "absent", NAMESPACE)
    refused(403, "Forbidden", core.delete_namespace, "default")
    core.delete_namespaced_config_map("taken", NAMESPACE)


def patches():
    template = {
        "metadata": {"labels": {"app": "patched"}},
        "spec": {"containers": [{"name": "a", "image": "i:1"}, {"name": "b", "image": "i:1"}]},
    }
    deployment = {
        "metadata": {"name": "patched"},
        "spec": {"replicas": 0, "selector": {"matchLabels": {"app": "patched"}}, "template": template},
    }
    made = apps.create_namespaced_deployment(NAMESPACE, deployment)
    assert made.spec.strategy.type == "RollingUpdate" and made.spec.revision_history_limit == 10
    images = lambda deployment: {c.name: c.image for c in deployment.spec.template.spec.containers}

    strategic = {"spec": {"template": {"spec": {"containers": [{"name": "b", "image": "i:2"}]}}}}
    patched = apps.patch_namespaced_deployment("patched", NAMESPACE, strategic)
    assert images(patched) == {"a": "i:1", "b": "i:2"}, "a list is merged by name"
    gone = {"spec": {"template": {"spec": {"containers": [{"name": "a", "$patch": "delete"}]}}}}
    patched = apps.patch_namespaced_deployment("patched", NAMESPACE, gone)
    assert images(patched) == {"b": "i:2"}
    merge = {"metadata": {"annotations": {"x": "1"}}, "spec": {"paused": True}}
    merging = client.AppsV1Api(sending("application/merge-patch+json"))
    patched = merging.patch_namespaced_deployment("patched", NAMESPACE, merge)
    assert patched.spec.paused and patched.metadata.annotations["x"] == "1"
    # A list is a JSON patch for this client.
    steps = [
        {"op": "test", "path": "/spec/paused", "value": True},
        {"op": "remove", "path": "/spec/paused"},
        {"op": "replace", "path": "/spec/template/spec/containers/0/image", "value": "i:3"},
    ]
    patched = apps.patch_namespaced_deployment("patched", NAMESPACE, steps)
    assert not patched.spec.paused and images(patched) == {"b": "i:3"}
    refused(422, "Invalid", apps.patch_namespaced_deployment, "patched", NAMESPACE, steps)
    applied = {
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "applied"}, "data": {"a": "1"},
    }
    applying = client.CoreV1Api(sending("application/apply-patch+yaml"))
    apply = lambda manager, body, **named: applying.patch_namespaced_config_map(
        "applied", NAMESPACE, body, field_manager=manager, **named
    )
    assert apply("one", applied).metadata.managed_fields[0].operation == "Apply"
    other = {**applied, "data": {"a": "2"}}
    conflict = refused(409, "Conflict", apply, "two", other)
    assert conflict["details"]["causes"][0]["reason"] == "FieldManagerConflict", conflict
    assert apply("two", other, force=True).data == {"a": "2"}

    scale = apps.read_namespaced_deployment_scale("patched", NAMESPACE)
    assert scale.spec.replicas is None and scale.status.selector == "app=patched"
    apps.patch_namespaced_deployment_scale("patched", NAMESPACE, {"spec": {"replicas": 1}})
    changed = apps.read_namespaced_deployment("patched", NAMESPACE)
    assert changed.spec.replicas == 1 and changed.metadata.generation > patched.metadata.generation
    status = apps.patch_namespaced_deployment_status("patched", NAMESPACE, {"spec": {"replicas": 7}})
    assert status.spec.replicas == 1, "the status is written apart"
    apps.delete_namespaced_deployment("patched", NAMESPACE, propagation_policy="Foreground")

    def over():
        return not [d for d in apps.list_namespaced_deployment(NAMESPACE).items if d.metadata.name == "patched"]

    eventually(over)


def lists_and_pages():
    for number in range(7):
        labels = {"parity": "even" if number % 2 == 0 else "odd"}
        core.create_namespaced_config_map(NAMESPACE, config_map(f"page-{number}", {}, labels))
    names, token, left = [], None, []
    while True:
        page = core.list_namespaced_config_map(NAMESPACE, limit=3, _continue=token, field_selector="metadata.name!=none")
        names += [item.metadata.name for item in page.items]
        left.append(page.metadata.remaining_item_count)
        token = page.metadata._continue
        if not token:
            break
    assert [name for name in names if name.startswith("page-")] == [f"page-{number}" for number in range(7)], names
    page = core.list_namespaced_config_map(NAMESPACE, limit=3)
    assert page.metadata.remaining_item_count == len(names) - 3, page.metadata
    refused(400, "BadRequest", core.list_namespaced_config_map, NAMESPACE, limit=3, _continue="nonsense")

    found = lambda **named: [item.metadata.name for item in core.list_namespaced_config_map(NAMESPACE, **named).items]
    assert found(label_selector="parity=odd") == ["page-1", "page-3", "page-5"]
    assert found(label_selector="parity in (odd),parity!=even", field_selector="metadata.name=page-3") == ["page-3"]
    everywhere = core.list_config_map_for_all_namespaces(label_selector="parity")
    assert {item.metadata.namespace for item in everywhere.items} == {NAMESPACE} and len(everywhere.items) == 7
    old = core.list_namespaced_config_map(NAMESPACE, resource_version="0")
    assert int(old.metadata.resource_version) > 0
    core.delete_collection_namespaced_config_map(NAMESPACE, label_selector="parity=odd")
    assert found(label_selector="parity") == ["page-0", "page-2", "page-4", "page-6"]
    on_node = core.list_pod_for_all_namespaces(field_selector="spec.nodeName=w1,status.phase=Running")
    assert {pod.metadata.name for pod in on_node.items} >= {"tools", "web"}


def watches():
    start = core.list_namespaced_config_map(NAMESPACE).metadata.resource_version

    def act():
        core.create_namespaced_config_map(NAMESPACE, config_map("seen", {"a": "1"}))
        core.patch_namespaced_config_map("seen", NAMESPACE, {"data": {"a": "2"}})
        core.delete_namespaced_config_map("seen", NAMESPACE)

    actor = threading.Thread(target=act)
    actor.start()
    watcher, seen = watch.Watch(), []
    for event in watcher.stream(
        core.list_namespaced_config_map, NAMESPACE, resource_version=start, field_selector="metadata.name=seen",
        timeout_seconds=PATIENCE,
    ):
        seen.append((event["type"], event["object"].data["a"]))
        if event["type"] == "DELETED":
            watcher.stop()
    actor.join()
    assert seen == [("ADDED", "1"), ("MODIFIED", "2"), ("DELETED", "2")], seen
    # From the beginning: what is there comes first, and the server ends the watch in time.
    first = [e["object"].metadata.name for e in watch.Watch().stream(
        core.list_namespaced_config_map, NAMESPACE, label_selector="parity=even", timeout_seconds=1)]
    assert first == ["page-0", "page-2", "page-4", "page-6"], first
    bookmarks = [e["type"] for e in watch.Watch().stream(
        core.list_namespaced_config_map, NAMESPACE, label_selector="parity=none", resource_version="0",
        allow_watch_bookmarks=True, timeout_seconds=2)]
    assert set(bookmarks) <= {"BOOKMARK"}, bookmarks


def dynamic_client():
    anything = dynamic.DynamicClient(api)
    maps = anything.resources.get(api_version="v1", kind="ConfigMap")
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "dynamic"}, "data": {"a": "1"}}
    made = maps.create(body=body, namespace=NAMESPACE)
    assert made.data.a == "1" and made.kind == "ConfigMap"
    patched = maps.patch(body={"data": {"b": "2"}}, name="dynamic", namespace=NAMESPACE,
                         content_type="application/merge-patch+json")
    assert patched.data.to_dict() == {"a": "1", "b": "2"}
    applied = maps.server_side_apply(body={**body, "data": {"c": "3"}}, namespace=NAMESPACE, field_manager="python")
    assert applied.data.to_dict() == {"a": "1", "b": "2", "c": "3"}
    old = made.to_dict()
    try:
        maps.replace(body=old, namespace=NAMESPACE)
        raise AssertionError("a stale object was written")
    except ConflictError as refusal:
        assert refusal.status == 409 and json.loads(refusal.body)["reason"] == "Conflict", refusal
    names = [item.metadata.name for item in maps.get(namespace=NAMESPACE, label_selector="parity").items]
    assert names == ["page-0", "page-2", "page-4", "page-6"], names
    for event in maps.watch(namespace=NAMESPACE, name="dynamic", timeout=PATIENCE):
        assert event["object"].metadata.name == "dynamic" and event["type"] == "ADDED"
        break
    maps.delete(name="dynamic", namespace=NAMESPACE)
    try:
        maps.get(name="dynamic", namespace=NAMESPACE)
        raise AssertionError("it is still there")
    except NotFoundError:
        pass
    deployments = anything.resources.get(api_version="apps/v1", kind="Deployment")
    assert deployments.namespaced and "scale" in deployments.subresources
    kinds = {resource.kind for resource in anything.resources.search(group="batch")}
    assert {"Job", "CronJob"} <= kinds, kinds


def custom_objects():
    extensions, custom = client.ApiextensionsV1Api(api), client.CustomObjectsApi(api)
    schema = client.V1JSONSchemaProps(type="object", properties={
        "spec": client.V1JSONSchemaProps(type="object", required=["size"], properties={
            "size": client.V1JSONSchemaProps(type="integer", minimum=1),
            "color": client.V1JSONSchemaProps(type="string", default="blue"),
        }),
        "status": client.V1JSONSchemaProps(type="object", x_kubernetes_preserve_unknown_fields=True),
    })
    names = client.V1CustomResourceDefinitionNames(plural="shirts", singular="shirt", kind="Shirt", short_names=["sh"])
    version = client.V1CustomResourceDefinitionVersion(
        name="v1", served=True, storage=True, schema=client.V1CustomResourceValidation(open_apiv3_schema=schema),
        subresources=client.V1CustomResourceSubresources(status={}),
    )
    extensions.create_custom_resource_definition(client.V1CustomResourceDefinition(
        metadata=client.V1ObjectMeta(name="shirts.python.example.com"),
        spec=client.V1CustomResourceDefinitionSpec(
            group="python.example.com", names=names, scope="Namespaced", versions=[version]),
    ))

    def established():
        status = extensions.read_custom_resource_definition("shirts.python.example.com").status
        return any(c.type == "Established" and c.status == "True" for c in status.conditions or [])

    eventually(established)
    where = ("python.example.com", "v1", NAMESPACE, "shirts")
    body = {"apiVersion": "python.example.com/v1", "kind": "Shirt", "metadata": {"name": "one"}, "spec": {"size": 3}}
    made = custom.create_namespaced_custom_object(*where, body)
    assert made["spec"] == {"size": 3, "color": "blue"} and made["metadata"]["generation"] == 1, made
    bad = {**body, "metadata": {"name": "two"}, "spec": {"size": 0}}
    refused(422, "Invalid", custom.create_namespaced_custom_object, *where, bad)
    # This client sends merge patches for custom objects, and JSON patches for lists.
    patched = custom.patch_namespaced_custom_object(*where, "one", {"spec": {"color": "red"}})
    assert patched["spec"] == {"size": 3, "color": "red"} and patched["metadata"]["generation"] == 2
    told = custom.patch_namespaced_custom_object_status(*where, "one", {"spec": {"size": 9}, "status": {"worn": True}})
    assert told["status"] == {"worn": True} and told["spec"]["size"] == 3
    told["spec"]["size"] = 4
    assert custom.replace_namespaced_custom_object(*where, "one", told)["spec"]["size"] == 4
    listed = custom.list_namespaced_custom_object(*where)
    assert [item["metadata"]["name"] for item in listed["items"]] == ["one"] and listed["kind"] == "ShirtList"
    assert len(custom.list_cluster_custom_object("python.example.com", "v1", "shirts")["items"]) == 1
    for event in watch.Watch().stream(custom.list_namespaced_custom_object, *where, timeout_seconds=PATIENCE):
        assert event["type"] == "ADDED" and event["object"]["metadata"]["name"] == "one"
        break
    custom.delete_namespaced_custom_object(*where, "one")
    extensions.delete_custom_resource_definition("shirts.python.example.com")

    def unserved():
        try:
            custom.list_namespaced_custom_object(*where)
            return False
        except ApiException as refusal:
            return refusal.status == 404

    eventually(unserved)


MANIFESTS = """
apiVersion: v1
kind: ServiceAccount
metadata: {name: bot}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: bot}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: view}
subjects: [{kind: ServiceAccount, name: bot, namespace: python}]
---
apiVersion: v1
kind: List
items:
- {apiVersion: v1, kind: ConfigMap, metadata: {name: from-yaml}, data: {a: '1'}}
- apiVersion: batch/v1
  kind: CronJob
  metadata: {name: from-yaml}
  spec: {schedule: '@daily', suspend: true, jobTemplate: {spec: {template: {spec: {restartPolicy: Never, containers: [{name: c, image: i}]}}}}}
"""


def creates_from_yaml():
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as manifest:
        manifest.write(MANIFESTS)
        manifest.flush()
        utils.create_from_yaml(api, manifest.name, namespace=NAMESPACE)
        try:
            utils.create_from_yaml(api, manifest.name, namespace=NAMESPACE)
            raise AssertionError("everything was made twice")
        except utils.FailToCreateError as failure:
            reasons = {json.loads(refusal.body)["reason"] for refusal in failure.api_exceptions}
            assert reasons == {"AlreadyExists"}, reasons
        utils.create_from_yaml(api, manifest.name, namespace=NAMESPACE, apply=True)
    assert core.read_namespaced_config_map("from-yaml", NAMESPACE).data == {"a": "1"}
    job = client.BatchV1Api(api).read_namespaced_cron_job("from-yaml", NAMESPACE)
    assert job.spec.concurrency_policy == "Allow"


def access():
    request = client.AuthenticationV1TokenRequest(
        spec=client.V1TokenRequestSpec(audiences=[], expiration_seconds=600))
    token = core.create_namespaced_service_account_token("bot", NAMESPACE, request).status.token
    review = client.AuthenticationV1Api(api).create_token_review(
        client.V1TokenReview(spec=client.V1TokenReviewSpec(token=token)))
    assert review.status.authenticated and review.status.user.username == f"system:serviceaccount:{NAMESPACE}:bot"
    own = client.Configuration.get_default_copy()
    own.cert_file = own.key_file = None
    own.api_key = {"authorization": token}
    own.api_key_prefix = {"authorization": "Bearer"}
    own.refresh_api_key_hook = None
    bot = client.ApiClient(own)
    assert client.CoreV1Api(bot).list_namespaced_config_map(NAMESPACE).items
    status = refused(403, "Forbidden", client.CoreV1Api(bot).delete_namespaced_config_map, "from-yaml", NAMESPACE)
    assert status["message"] == (
        'configmaps "from-yaml" is forbidden: User "system:serviceaccount:python:bot" cannot delete resource '
        '"configmaps" in API group "" in the namespace "python"'
    )

    def may(who, verb):
        attributes = client.V1ResourceAttributes(namespace=NAMESPACE, verb=verb, resource="configmaps")
        review = client.V1SelfSubjectAccessReview(
            spec=client.V1SelfSubjectAccessReviewSpec(resource_attributes=attributes))
        return client.AuthorizationV1Api(who).create_self_subject_access_review(review).status.allowed

    assert may(api, "delete") and may(bot, "list") and not may(bot, "delete")
    me = client.AuthenticationV1Api(bot).create_self_subject_review(client.V1SelfSubjectReview())
    assert me.status.user_info.username == f"system:serviceaccount:{NAMESPACE}:bot"
    own.api_key = {"authorization": token + "x"}
    refused(401, "Unauthorized", client.CoreV1Api(client.ApiClient(own)).list_namespace)


def pods():
    logs = core.read_namespaced_pod_log("web", "default", tail_lines=1)
    assert "listens on port" in logs, logs
    lines = watch.Watch().stream(core.read_namespaced_pod_log, "web", "default", timestamps=True)
    assert "listens on port" in next(iter(lines))
    run = lambda *command, **named: stream(
        core.connect_get_namespaced_pod_exec, "tools", "default", command=list(command), stderr=True, stdout=True, **named)
    assert run("sh", "-c", "echo out; echo err >&2").splitlines() in (["out", "err"], ["err", "out"])
    shell = run("sh", stdin=True, _preload_content=False)
    shell.write_stdin("echo $((6 * 7)); exit 3\n")
    assert shell.readline_stdout(timeout=PATIENCE) == "42"
    shell.run_forever(timeout=PATIENCE)
    assert shell.returncode == 3
    forward = portforward(core.connect_get_namespaced_pod_portforward, "web", "default", ports="8080")
    connection = forward.socket(8080)
    connection.setblocking(True)
    connection.sendall(b"GET /hello HTTP/1.1\r\nHost: web\r\nConnection: close\r\n\r\n")
    answer = b""
    while piece := connection.recv(4096):
        answer += piece
    assert answer.startswith(b"HTTP/1.1 200") and b"/hello" in answer, answer
    proxied = core.connect_get_namespaced_pod_proxy_with_path("web:8080", "default", "hello")
    assert "/hello" in proxied, proxied
    eviction = client.V1Eviction(metadata=client.V1ObjectMeta(name="web"))
    # The answer is a Status; this client would take it for an eviction.
    answer = core.create_namespaced_pod_eviction("web", "default", eviction, _preload_content=False)
    assert json.loads(answer.data)["status"] == "Success", answer.data

    def gone():
        return "web" not in [pod.metadata.name for pod in core.list_namespaced_pod("default").items]

    eventually(gone)


def main():
    global core, apps, api
    config.load_kube_config(os.environ["KUBECONFIG"])
    api = client.ApiClient()
    core, apps = client.CoreV1Api(api), client.AppsV1Api(api)
    core.create_namespace(client.V1Namespace(metadata=client.V1ObjectMeta(name=NAMESPACE)))
    for part in [
        versions_and_discovery, reads_and_writes, refusals, patches, lists_and_pages, watches, dynamic_client,
        custom_objects, creates_from_yaml, access, pods,
    ]:
        began = time.monotonic()
        part()
        print(f"{part.__name__}: {time.monotonic() - began:.1f} s", flush=True)
    core.delete_namespace(NAMESPACE)


if __name__ == "__main__":
    sys.exit(main())
