{{/* How the pod of `helm test` reaches the server. */}}

{{- define "lafi.clientArguments" -}}
{{- if .Values.tls.secret }}
- --ca=/etc/lafi/tls/ca.crt
{{- if .Values.tls.clientCertificates }}
- --certificate=/etc/lafi/client/tls.crt
- --private-key=/etc/lafi/client/tls.key
{{- end }}
{{- end }}
{{- if .Values.tests.keySecret }}
- --key-file=/etc/lafi/key/key
{{- end }}
{{- end -}}

{{- define "lafi.clientMounts" -}}
{{- if .Values.tls.secret }}
- {name: tls, mountPath: /etc/lafi/tls, readOnly: true}
{{- end }}
{{- if .Values.tests.certificateSecret }}
- {name: client, mountPath: /etc/lafi/client, readOnly: true}
{{- end }}
{{- if .Values.tests.keySecret }}
- {name: key, mountPath: /etc/lafi/key, readOnly: true}
{{- end }}
{{- end -}}

{{- define "lafi.clientVolumes" -}}
{{- if .Values.tls.secret }}
- name: tls
  secret:
    secretName: {{ .Values.tls.secret | quote }}
    defaultMode: 0440
    items: [{key: ca.crt, path: ca.crt}]
{{- end }}
{{- if .Values.tests.certificateSecret }}
- name: client
  secret: {secretName: {{ .Values.tests.certificateSecret | quote }}, defaultMode: 0440}
{{- end }}
{{- if .Values.tests.keySecret }}
- name: key
  secret: {secretName: {{ .Values.tests.keySecret | quote }}, defaultMode: 0440}
{{- end }}
{{- end -}}
