{{/* Names and labels. Those of one model take (dict "root" $ "model" MODEL).

     A StatefulSet's name, a dash and ten characters of a revision are a label, which has 63 characters at most: 35 for
     the release, a dash, 16 for the model. */}}

{{- define "lafi.name" -}}
{{- if contains .Chart.Name .Release.Name -}}{{ .Release.Name | trunc 35 | trimSuffix "-" }}
{{- else -}}{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 35 | trimSuffix "-" }}
{{- end -}}
{{- end -}}

{{- define "lafi.model" -}}
{{- printf "%s-%s" (include "lafi.name" .root) .model.name -}}
{{- end -}}

{{- define "lafi.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
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
lafi/model: {{ .model.name | quote }}
{{- end -}}

{{- define "lafi.modelLabels" -}}
{{ include "lafi.labels" .root }}
app.kubernetes.io/component: server
lafi/model: {{ .model.name | quote }}
{{- end -}}

{{/* A ClusterServingRuntime is seen by all namespaces, so its name has the release's. */}}
{{- define "lafi.runtime" -}}
{{- $name := printf "%s-%s" (include "lafi.name" .) .Release.Namespace -}}
{{- if gt (len $name) 63 -}}{{ $name = printf "%s-%s" ($name | trunc 54) ($name | sha256sum | trunc 8) }}{{- end -}}
{{- $name -}}
{{- end -}}

{{/* A model's GPU as YAML: what it names itself, and for the rest what stands in `gpu`. */}}
{{- define "lafi.gpu" -}}
{{- $gpu := deepCopy .root.Values.gpu -}}
{{- range $name, $value := .model.gpu -}}{{- $_ := set $gpu $name $value -}}{{- end -}}
{{- toYaml $gpu -}}
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
  - name: {{ . | quote }}
{{- end }}
{{- end }}
{{- end -}}
