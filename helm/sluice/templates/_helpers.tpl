{{/* SPDX-License-Identifier: Apache-2.0 */}}
{{- define "sluice.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* dict "top" $ "part" "proxy" */}}
{{- define "sluice.selector" -}}
app.kubernetes.io/name: {{ default .top.Chart.Name .top.Values.nameOverride }}
app.kubernetes.io/instance: {{ .top.Release.Name }}
app.kubernetes.io/component: {{ .part }}
{{- end -}}

{{- define "sluice.labels" -}}
{{ include "sluice.selector" . }}
app.kubernetes.io/version: {{ .top.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .top.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .top.Chart.Name .top.Chart.Version }}
{{- end -}}

{{/* dict "top" $ "image" .Values.proxy.image */}}
{{- define "sluice.image" -}}
image: {{ printf "%s:%s" .image.repository (default .top.Chart.AppVersion .image.tag) | quote }}
imagePullPolicy: {{ default "IfNotPresent" .image.pullPolicy }}
{{- end -}}

{{- define "sluice.secret" -}}
{{- required "existingSecret is required: sluice init DIR && kubectl create secret generic sluice --from-file=DIR" .Values.existingSecret -}}
{{- end -}}

{{/* The file as YAML. The proxies' part of it decides whether they restart. */}}
{{- define "sluice.config" -}}
{{- toYaml .Values.config -}}
{{- end -}}
{{- define "sluice.proxyChecksum" -}}
{{- pick .Values.config "server" "control" "logging" "telemetry" "egress" | toJson | sha256sum -}}
{{- end -}}

{{/* A number: the user of the image. */}}
{{- define "sluice.podSecurity" -}}
runAsNonRoot: true
runAsUser: {{ . }}
runAsGroup: {{ . }}
fsGroup: {{ . }}
fsGroupChangePolicy: OnRootMismatch
seccompProfile: {type: RuntimeDefault}
{{- end -}}

{{- define "sluice.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end -}}

{{/* dict "top" $ "part" .Values.proxy: where pods go */}}
{{- define "sluice.placement" -}}
{{- with .top.Values.imagePullSecrets }}
imagePullSecrets: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .part.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .part.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .part.affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* dict "top" $ "labels" "control" "persistence" .Values.control.persistence */}}
{{- define "sluice.volumeClaim" -}}
volumeClaimTemplates:
  - metadata:
      name: data
      labels: {{- include "sluice.selector" (dict "top" .top "part" .part) | nindent 8 }}
    spec:
      accessModes: [ReadWriteOnce]
      {{- with .persistence.storageClass }}
      storageClassName: {{ . | quote }}
      {{- end }}
      resources: {requests: {storage: {{ .persistence.size | quote }}}}
{{- end -}}
