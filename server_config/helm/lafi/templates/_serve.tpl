{{/* How the server is started. The one place that names options of `lafi serve`; a test compares them with the
     command line. A canary would keep a pod from being idle, so there is none where pods may go to zero.
     Takes (dict "root" $ "repository" FOLDER "store" PLACE). */}}

{{- define "lafi.serveArguments" -}}
{{- $v := .root.Values -}}
- serve
- {{ .repository | quote }}
- --host=0.0.0.0
- --grpc-port=8001
- --health-port=8002
- --grace={{ $v.drain.longestStoryboardSeconds | int64 }}
{{- /* A little before the probe gives up, so that the log says what was not ready. */}}
- --startup-seconds={{ sub $v.startup.seconds 10 }}
- --request-mib={{ $v.serve.requestMebibytes | int64 }}
{{- /* Those of all clients: never less than one. */}}
- --requests-mib={{ max 512 $v.serve.requestMebibytes }}
- --canary-seconds={{ if $v.autoscaling.toZero }}0{{ else }}{{ $v.serve.canarySeconds | toJson }}{{ end }}
- {{ printf "--store=%s" .store | quote }}
- --store-mib={{ $v.store.mebibytes | int64 }}
- --retention-days={{ $v.store.retentionDays | int64 }}
{{- if $v.serve.threads }}
- --threads={{ $v.serve.threads | int64 }}
{{- end }}
{{- if $v.serve.defaultRecipe }}
- {{ printf "--default-recipe=%s" $v.serve.defaultRecipe | quote }}
{{- end }}
{{- if $v.tls.secret }}
- --tls-certificate=/etc/lafi/tls/tls.crt
- --tls-key=/etc/lafi/tls/tls.key
{{- if $v.tls.clientCertificates }}
- --tls-client-ca=/etc/lafi/tls/ca.crt
{{- end }}
{{- end }}
{{- if $v.keys.secret }}
- --keys=/etc/lafi/keys/keys
{{- end }}
{{- if $v.insecure }}
- --insecure
{{- end }}
{{- end -}}

{{/* Variables of every container that computes. */}}
{{- define "lafi.environment" -}}
- {name: HOME, value: /tmp}
- {name: HF_HUB_OFFLINE, value: "1"}
- {name: OMP_WAIT_POLICY, value: PASSIVE}
- {name: GOMP_SPINCOUNT, value: "0"}
{{- with .Values.store }}
{{- if .endpoint }}
- {name: AWS_ENDPOINT_URL, value: {{ .endpoint | quote }}}
{{- end }}
{{- if .secret }}
- {name: AWS_SHARED_CREDENTIALS_FILE, value: /etc/lafi/store/credentials}
{{- end }}
{{- end }}
{{- end -}}

{{/* Whose storyboards this pod's are, and where the model's other pods are, to which it passes on what is about theirs.
     Takes (dict "root" $ "name" MODEL'S NAME). */}}
{{- define "lafi.peers" -}}
- {name: LAFI_POD, valueFrom: {fieldRef: {fieldPath: metadata.name}}}
- {name: LAFI_PEERS, value: {{ printf "{pod}.%s-pods.%s.svc:8001" .name .root.Release.Namespace | quote }}}
{{- if .root.Values.tls.secret }}
- {name: LAFI_PEER_CA, value: /etc/lafi/tls/ca.crt}
{{- end }}
{{- end -}}

{{/* Secrets and what may be written, as the serving container sees them. */}}
{{- define "lafi.serveMounts" -}}
- {name: state, mountPath: /var/lib/lafi/state}
- {name: shared-memory, mountPath: /dev/shm}
- {name: temporary, mountPath: /tmp}
{{- if .Values.tls.secret }}
- {name: tls, mountPath: /etc/lafi/tls, readOnly: true}
{{- end }}
{{- if .Values.keys.secret }}
- {name: keys, mountPath: /etc/lafi/keys, readOnly: true}
{{- end }}
{{- if .Values.store.secret }}
- {name: store, mountPath: /etc/lafi/store, readOnly: true}
{{- end }}
{{- end -}}

{{- define "lafi.serveVolumes" -}}
- name: shared-memory
  emptyDir: {medium: Memory, sizeLimit: {{ .Values.resources.sharedMemoryMebibytes | int64 }}Mi}
- name: temporary
  emptyDir: {sizeLimit: {{ .Values.resources.temporaryMebibytes | int64 }}Mi}
{{- if .Values.tls.secret }}
- name: tls
  secret: {secretName: {{ .Values.tls.secret | quote }}, defaultMode: 0440}
{{- end }}
{{- if .Values.keys.secret }}
- name: keys
  secret: {secretName: {{ .Values.keys.secret | quote }}, defaultMode: 0440}
{{- end }}
{{- if .Values.store.secret }}
- name: store
  secret: {secretName: {{ .Values.store.secret | quote }}, defaultMode: 0440}
{{- end }}
{{- end -}}

{{/* Memory: what the processes take and what lies in /dev/shm, which the kernel counts together.
     Takes (dict "root" $ "gpu" GPU). */}}
{{- define "lafi.resources" -}}
{{- $r := .root.Values.resources -}}
{{- $memory := printf "%dMi" (add $r.memoryMebibytes $r.sharedMemoryMebibytes) -}}
requests:
  cpu: {{ $r.cpu | toJson | trimAll "\"" | quote }}
  memory: {{ $memory }}
limits:
  cpu: {{ $r.cpu | toJson | trimAll "\"" | quote }}
  memory: {{ $memory }}
{{- if .gpu.resource }}
  {{ .gpu.resource }}: {{ .gpu.count | int64 }}
{{- end }}
{{- end -}}

{{/* With TLS the health pages speak it too; they ask nobody for a key or a certificate, but for /metrics. */}}
{{- define "lafi.scheme" -}}
{{ if .Values.tls.secret }}HTTPS{{ else }}HTTP{{ end }}
{{- end -}}

{{- define "lafi.probes" -}}
startupProbe:
  httpGet: {path: /readyz, port: health, scheme: {{ include "lafi.scheme" . }}}
  periodSeconds: 5
  timeoutSeconds: 3
  failureThreshold: {{ max 1 (div .Values.startup.seconds 5) }}
readinessProbe:
  httpGet: {path: /readyz, port: health, scheme: {{ include "lafi.scheme" . }}}
  periodSeconds: 5
  timeoutSeconds: 3
  failureThreshold: 1
livenessProbe:
  httpGet: {path: /livez, port: health, scheme: {{ include "lafi.scheme" . }}}
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 6
{{- end -}}

{{/* New work is refused first; then there is time to hear of it; then SIGTERM, with `--grace` for what is in flight. */}}
{{- define "lafi.lifecycle" -}}
preStop:
  exec:
    command:
      - python
      - -c
      - >-
        import ssl, time, urllib.request as web;
        page = web.Request("{{ include "lafi.scheme" . | lower }}://127.0.0.1:8002/drain", method="POST");
        web.urlopen(page, timeout=5, context=ssl._create_unverified_context());
        time.sleep({{ .Values.drain.announceSeconds | int64 }})
{{- end -}}

{{/* 30 s: what Triton Server and the supervisor take to end once nothing is in flight. */}}
{{- define "lafi.graceSeconds" -}}
{{ add .Values.drain.longestStoryboardSeconds .Values.drain.announceSeconds 30 }}
{{- end -}}
