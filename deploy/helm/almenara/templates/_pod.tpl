{{/* What finds the pods of one part: (dict "root" $ "part" "api"). */}}
{{- define "almenara.selector" -}}
app.kubernetes.io/name: almenara
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .part }}
{{- end }}

{{/* The labels of everything that belongs to one part. */}}
{{- define "almenara.labels" -}}
{{ include "almenara.selector" . }}
app.kubernetes.io/version: {{ .root.Values.image.tag | default .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version }}
{{- end }}

{{/* What the pods of all parts have in common, around their one container. */}}
{{- define "almenara.pod" -}}
terminationGracePeriodSeconds: {{ add .Values.drainSeconds 35 }}
# Kubernetes would set ALMENARA_... for our own Services, and we refuse what we do not know.
enableServiceLinks: false
automountServiceAccountToken: false
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  # So that the mounted secrets can be read.
  fsGroup: 10001
  seccompProfile:
    type: RuntimeDefault
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
volumes:
  - name: secrets
    secret:
      secretName: {{ .Values.secretName }}
      defaultMode: 0440
  - name: tmp
    emptyDir:
      sizeLimit: 64Mi
{{- end }}

{{/* What the containers of all parts have in common. */}}
{{- define "almenara.container" -}}
image: "{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}"
imagePullPolicy: {{ .Values.image.pullPolicy }}
env:
  - name: ALMENARA_DATABASE_URL_FILE
    value: /etc/almenara/database-url
  - name: ALMENARA_BROKER_URL_FILE
    value: /etc/almenara/broker-url
  - name: ALMENARA_SECRET_KEY_FILE
    value: /etc/almenara/secret-key
  - name: ALMENARA_DRAIN_SECONDS
    value: {{ .Values.drainSeconds | quote }}
  {{- range $name, $value := .Values.settings }}
  - name: {{ $name }}
    value: {{ $value | quote }}
  {{- end }}
envFrom:
  - secretRef:
      name: {{ .Values.pluginsSecretName }}
      optional: true
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities:
    drop: ["ALL"]
volumeMounts:
  - name: secrets
    mountPath: /etc/almenara
    readOnly: true
  - name: tmp
    mountPath: /tmp
{{- end }}

{{/* How the pods of one Deployment are found, spread and replaced. */}}
{{- define "almenara.rollout" -}}
selector:
  matchLabels:
    {{- include "almenara.selector" . | nindent 4 }}
strategy:
  rollingUpdate:
    maxSurge: 1
    maxUnavailable: 0
{{- end }}

{{- define "almenara.spread" -}}
topologySpreadConstraints:
  - maxSkew: 1
    topologyKey: kubernetes.io/hostname
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- include "almenara.selector" . | nindent 8 }}
{{- end }}

{{/* One pod of a part may be taken away at a time. */}}
{{- define "almenara.disruption" -}}
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  name: {{ .root.Release.Name }}-{{ .part }}
  labels:
    {{- include "almenara.labels" . | nindent 4 }}
spec:
  maxUnavailable: 1
  selector:
    matchLabels:
      {{- include "almenara.selector" . | nindent 6 }}
{{- end }}
