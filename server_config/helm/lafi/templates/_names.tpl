{{/* Names and labels. Those of one model take (dict "root" $ "model" MODEL). */}}

{{- define "lafi.name" -}}
{{- if contains .Chart.Name .Release.Name -}}{{ .Release.Name | trunc 40 | trimSuffix "-" }}
{{- else -}}{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 40 | trimSuffix "-" }}
{{- end -}}
{{- end -}}

{{- define "lafi.model" -}}
{{- printf "%s-%s" (include "lafi.name" .root) .model.name -}}
{{- end -}}

{{- define "lafi.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "lafi.labels" -}}
{{ include "lafi.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{- define "lafi.modelSelector" -}}
{{ include "lafi.selector" .root }}
app.kubernetes.io/component: server
lafi/model: {{ .model.name }}
{{- end -}}

{{- define "lafi.modelLabels" -}}
{{ include "lafi.labels" .root }}
app.kubernetes.io/component: server
lafi/model: {{ .model.name }}
{{- end -}}

{{- define "lafi.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}{{ .repository }}@{{ .digest }}
{{- else -}}{{ .repository }}:{{ .tag | default $.Chart.AppVersion }}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "lafi.protocol" -}}
{{ if .Values.tls.secret }}https{{ else }}kubernetes.io/h2c{{ end }}
{{- end -}}

{{- define "lafi.podSecurity" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
fsGroup: 10001
fsGroupChangePolicy: OnRootMismatch
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{- define "lafi.containerSecurity" -}}
allowPrivilegeEscalation: false
privileged: false
readOnlyRootFilesystem: true
runAsNonRoot: true
capabilities:
  drop: [ALL]
{{- end -}}

{{- define "lafi.pullSecrets" -}}
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
{{- range . }}
  - name: {{ . }}
{{- end }}
{{- end }}
{{- end -}}

{{/* What a value alone cannot say; the schema has checked each value by itself. */}}
{{- define "lafi.checks" -}}
{{- $v := .Values -}}
{{- if and (not (and $v.tls.secret $v.keys.secret)) (not $v.insecure) -}}
{{- fail "tls.secret and keys.secret: got none or one, allowed: both, or insecure: true, with which everybody who reaches the port may draw" -}}
{{- end -}}
{{- if and $v.tls.clientCertificates (not $v.tls.secret) -}}
{{- fail "tls.clientCertificates: got true, allowed only with tls.secret" -}}
{{- end -}}
{{- if and (eq $v.engines.target "tensorrt") (not $v.gpu.resource) -}}
{{- fail "engines.target: got tensorrt, allowed only with gpu.resource" -}}
{{- end -}}
{{- range $v.models -}}
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
{{- if and (hasPrefix "s3://" $v.store.place) (not $v.store.egress.cidrs) -}}
{{- fail "store.egress.cidrs: got none, allowed with s3://: where the storage is, since pods may call nothing else" -}}
{{- end -}}
{{- end -}}
