import { useState } from 'preact/hooks'
import type { Client, MappingSuggestion } from '../../types.ts'
import { Badge, Empty, Problem } from '../components/basics.tsx'
import { Cell, Table } from '../components/list.tsx'
import { useDoing, useUi } from '../context.ts'
import type { Draft, Node } from './model.ts'

export interface SuggestionsProps {
  connectionId: string
  nodes: Node[]
  draft: Draft
  onAccept: (accepted: Array<{ organizationId: string; client: Client }>) => void
}

const shownAtOnce = 20

/** Proposals for groups that are mapped to nothing; accepted ones become part of the draft. */
export function Suggestions({ connectionId, nodes, draft, onAccept }: SuggestionsProps) {
  const { api, t, fmt } = useUi()
  const doing = useDoing()
  const [items, setItems] = useState<MappingSuggestion[] | null>(null)
  const [shown, setShown] = useState(shownAtOnce)
  const find = () =>
    void doing.run(async () =>
      setItems(
        await api.all<MappingSuggestion>(`connections/${encodeURIComponent(connectionId)}/organizations/suggestions`)
      )
    )
  const byId = new Map(nodes.map(node => [node.organization.id, node]))
  const open =
    items?.filter(
      ({ organizationId }) =>
        !draft.has(organizationId) && byId.get(organizationId)?.organization.mapping.mode === 'inherit'
    ) ?? []
  const candidates = Map.groupBy(open, ({ organizationId }) => organizationId)
  const clear = [...candidates.values()].filter(same => same.length === 1).map(([only]) => only!)
  const accept = (chosen: MappingSuggestion[]) =>
    onAccept(
      chosen.map(({ organizationId, clientRef, clientName }) => ({
        organizationId,
        client: { id: clientRef, name: clientName }
      }))
    )
  return (
    <section class='card' aria-labelledby='suggestions'>
      <div class='head'>
        <h2 id='suggestions'>{t('suggestions')}</h2>
        {items === null ? (
          <button type='button' disabled={doing.busy} onClick={find}>
            {t(doing.busy ? 'loading' : 'suggestionsLoad')}
          </button>
        ) : (
          clear.length > 0 && (
            <button type='button' onClick={() => accept(clear)}>
              {t('acceptAll', { count: clear.length })}
            </button>
          )
        )}
      </div>
      <Problem error={doing.error} retry={doing.retry} />
      <p class='muted'>
        {t('suggestionsIntro')}
        {clear.length < candidates.size && ` ${t('acceptAllHelp')}`}
      </p>
      {items !== null && open.length === 0 && <Empty>{t('suggestionsNone')}</Empty>}
      {open.length > 0 && (
        <Table label={t('suggestions')} columns={[t('group'), t('client'), t('reason'), t('actions')]}>
          {open.slice(0, shown).map(suggestion => {
            const { organization } = byId.get(suggestion.organizationId)!
            return (
              <tr key={`${suggestion.organizationId} ${suggestion.clientRef}`}>
                <Cell of={t('group')} wide>
                  {organization.path}
                  <span class='muted small'> {t('countDevices', { count: organization.deviceCount })}</span>
                </Cell>
                <Cell of={t('client')}>{suggestion.clientName}</Cell>
                <Cell of={t('reason')}>
                  <Badge tone={suggestion.score === 1 ? 'ok' : 'plain'}>
                    {t('suggestionMatch', { percent: fmt.percent(suggestion.score), reason: suggestion.reason })}
                  </Badge>
                </Cell>
                <Cell of={t('actions')}>
                  <button
                    type='button'
                    aria-label={t('acceptLabel', { client: suggestion.clientName, group: organization.name })}
                    onClick={() => accept([suggestion])}
                  >
                    {t('accept')}
                  </button>
                </Cell>
              </tr>
            )
          })}
        </Table>
      )}
      {open.length > shown && (
        <p class='more'>
          <button type='button' onClick={() => setShown(shown + shownAtOnce)}>
            {t('more')}
          </button>
        </p>
      )}
    </section>
  )
}
