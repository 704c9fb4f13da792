/** What platforms send, and how they are set up to. */

export interface WebhookInfo {
  url: string
  signatureHeader: string | null
  secretHeader: string | null
  events: string[]
  payloadTemplate: Record<string, string> | null
  /** What of the template the operator writes: its field, and what may be chosen (null: any text). */
  templateInputs: Array<{ field: string; label: string; choices: string[] | null }>
  instructions: string[]
  hasSecret: boolean
  lastDeliveryAt: string | null
}

export interface Delivery {
  id: string
  connectionId: string
  eventId: string
  eventType: string
  /** `ignored`: it means nothing to us. `unusable`: it could not be used, `lastError` says why. `dead`: given up. */
  status: 'pending' | 'done' | 'ignored' | 'unusable' | 'dead'
  attempts: number
  lastError: string | null
  receivedAt: string
  processedAt: string | null
}
