{{/* What a value alone cannot say; the schema has checked each value by itself. */}}
{{- define "lafi.checks" -}}
{{- $v := .Values -}}
{{- if and (not (and $v.tls.secret $v.keys.secret)) (not $v.insecure) -}}
{{- fail "tls.secret and keys.secret: got none or one, allowed: both, or insecure: true, with which everybody who reaches the port may draw" -}}
{{- end -}}
{{- if and $v.tls.clientCertificates (not $v.tls.secret) -}}
{{- fail "tls.clientCertificates: got true, allowed only with tls.secret" -}}
{{- end -}}
{{- $sides := $v.engines.sides -}}
{{- if or (gt (int (index $sides 0)) (int (index $sides 1))) (gt (int (index $sides 1)) (int (index $sides 2))) -}}
{{- fail (printf "engines.sides: got %v, allowed: smallest, usual and largest side in this order" $sides) -}}
{{- end -}}
{{- $names := list -}}
{{- range $v.models -}}
{{- if has .name $names -}}
{{- fail (printf "models.%s: got two of this name, allowed: one, since its objects are named by it" .name) -}}
{{- end -}}
{{- $names = append $names .name -}}
{{- $gpu := include "lafi.gpu" (dict "root" $ "model" .) | fromYaml -}}
{{- if and (eq $v.engines.target "tensorrt") (not .repository) (not $gpu.resource) -}}
{{- fail (printf "engines.target: got tensorrt, allowed only with gpu.resource, here or in models.%s" .name) -}}
{{- end -}}
{{- if and $v.autoscaling.enabled (hasKey . "replicas") -}}
{{- fail (printf "models.%s.replicas: got %d, allowed only without autoscaling, where minReplicas and maxReplicas count" .name (int .replicas)) -}}
{{- end -}}
{{- if .repository -}}
{{- if not $v.checkpoints.claim -}}
{{- fail (printf "models.%s.repository: got %s, allowed only with checkpoints.claim" .name .repository) -}}
{{- end -}}
{{- if .exportArguments -}}
{{- fail (printf "models.%s.exportArguments: got some, allowed only with checkpoint: a repository is exported already" .name) -}}
{{- end -}}
{{- else if and (ne .checkpoint "bundled") (not $v.checkpoints.claim) -}}
{{- fail (printf "models.%s.checkpoint: got %s, allowed without checkpoints.claim: bundled" .name .checkpoint) -}}
{{- end -}}
{{- end -}}
{{- with $v.autoscaling -}}
{{- if and .toZero (not .enabled) -}}
{{- fail "autoscaling.toZero: got true, allowed only with autoscaling.enabled" -}}
{{- end -}}
{{- if and .toZero (not $v.monitoring.serviceMonitor) -}}
{{- fail "autoscaling.toZero: got true, allowed only with monitoring.serviceMonitor: without its targets a pod that is not scraped looks like none" -}}
{{- end -}}
{{- if .enabled -}}
{{- if not .prometheus -}}{{- fail "autoscaling.prometheus: got none, allowed: the URL of Prometheus" -}}{{- end -}}
{{- if gt (int .minReplicas) (int .maxReplicas) -}}
{{- fail (printf "autoscaling.minReplicas: got %d, allowed: at most maxReplicas, %d" (int .minReplicas) (int .maxReplicas)) -}}
{{- end -}}
{{- if and (eq (int .minReplicas) 0) (not (and .toZero .wakeQuery)) -}}
{{- fail "autoscaling.minReplicas: got 0, allowed only with toZero: true and a wakeQuery, since no pod is there that could tell of work" -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if and $v.gateway.enabled (not $v.gateway.name) -}}
{{- fail "gateway.name: got none, allowed: the name of a Gateway" -}}
{{- end -}}
{{- if and $v.monitoring.serviceMonitor $v.keys.secret (not $v.monitoring.keySecret) -}}
{{- fail "monitoring.keySecret: got none, allowed with keys.secret: a Secret with one key that may read the metrics" -}}
{{- end -}}
{{- if $v.tests.enabled -}}
{{- if and $v.models (eq $v.store.place "none") -}}
{{- fail "tests.enabled: got true, allowed only with a store: the test sends a storyboard twice, and the second must be found" -}}
{{- end -}}
{{- if and $v.keys.secret (not $v.tls.secret) -}}
{{- fail "tests.enabled: got true, allowed with keys.secret only with tls.secret: a key is not sent in the clear" -}}
{{- end -}}
{{- if and $v.keys.secret (not $v.tests.keySecret) -}}
{{- fail "tests.keySecret: got none, allowed with keys.secret: a Secret with one key, or tests.enabled: false" -}}
{{- end -}}
{{- if and $v.tls.clientCertificates (not $v.tests.certificateSecret) -}}
{{- fail "tests.certificateSecret: got none, allowed with tls.clientCertificates: a Secret, or tests.enabled: false" -}}
{{- end -}}
{{- end -}}
{{- if not (hasPrefix "s3://" $v.store.place) -}}
{{- if $v.store.secret -}}
{{- fail (printf "store.secret: got %s, allowed only with a store.place of s3://" $v.store.secret) -}}
{{- end -}}
{{- if $v.store.endpoint -}}
{{- fail (printf "store.endpoint: got %s, allowed only with a store.place of s3://" $v.store.endpoint) -}}
{{- end -}}
{{- end -}}
{{- if and $v.kserve.example.enabled (not $v.kserve.enabled) -}}
{{- fail "kserve.example.enabled: got true, allowed only with kserve.enabled" -}}
{{- end -}}
{{- if and $v.kserve.example.enabled (not (hasPrefix "pvc://" $v.kserve.example.storageUri)) (not $v.store.egress.cidrs) -}}
{{- fail "store.egress.cidrs: got none, allowed with a kserve.example.storageUri that is no pvc://: where it is fetched from, since pods may call nothing else" -}}
{{- end -}}
{{- if and (hasPrefix "s3://" $v.store.place) (not $v.store.egress.cidrs) -}}
{{- fail "store.egress.cidrs: got none, allowed with s3://: where the storage is, since pods may call nothing else" -}}
{{- end -}}
{{- end -}}
