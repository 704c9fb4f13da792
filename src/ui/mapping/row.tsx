import type { Placement } from '../../services/model/tree.ts'
import type { Client, MappingMode } from '../../types.ts'
import { Badge } from '../components/basics.tsx'
import { useUi } from '../context.ts'
import { ClientPicker } from './client-picker.tsx'
import { type Choice, type Effect, type Node, touched } from './model.ts'

export interface RowProps {
  node: Node
  choice: Choice
  isChanged: boolean
  /** Where it is if it follows its parent. */
  above: Placement | undefined
  effect: Effect | undefined
  collapsed: boolean
  clientName: (clientRef: string | null) => string | null
  onToggle: () => void
  onChoose: (choice: Choice, client?: Client) => void
}

const indentedLevels = 6

/** One group: its place in the tree, how many devices it holds, and whom they belong to. */
export function Row({ node, choice, isChanged, above, effect, collapsed, clientName, onToggle, onChoose }: RowProps) {
  const { t } = useUi()
  const {
    organization: { name, path, deviceCount, descendantDeviceCount, autoSync },
    children,
    depth
  } = node
  const choose = (mode: MappingMode) => onChoose({ mode, clientRef: mode === 'mapped' ? choice.clientRef : null })
  return (
    <div class={`group ${choice.mode}${isChanged ? ' changed' : ''}`}>
      <div class='who' style={{ paddingInlineStart: `${Math.min(depth, indentedLevels) * 1.1}rem` }}>
        {children.length > 0 ? (
          <button
            type='button'
            class='toggle'
            aria-expanded={!collapsed}
            aria-label={t(collapsed ? 'expand' : 'collapse', { name })}
            onClick={onToggle}
          />
        ) : (
          <span class='toggle' />
        )}
        <span class='names'>
          <span class='name' title={path}>
            {name}
          </span>
          <span class='muted small'>
            {isChanged && `${effect && touched(effect) > 0 ? effectText(effect, t) : t('changed')} · `}
            {t('countDevices', { count: deviceCount })}
            {descendantDeviceCount !== deviceCount && ` · ${t('countBelow', { count: descendantDeviceCount })}`}
            {!autoSync && (
              <>
                {' '}
                <Badge tone='warn'>{t('syncOff')}</Badge>
              </>
            )}
          </span>
        </span>
      </div>
      <select
        aria-label={t('modeOf', { name })}
        value={choice.mode}
        onChange={event => choose(event.currentTarget.value as MappingMode)}
      >
        <option value='inherit'>{inherited(node, above, clientName, t)}</option>
        <option value='mapped'>{t('modeMapped')}</option>
        <option value='excluded'>{t('modeExcluded')}</option>
      </select>
      {choice.mode === 'mapped' ? (
        <ClientPicker
          label={t('clientOf', { name })}
          clientRef={choice.clientRef}
          onPick={client => onChoose({ mode: 'mapped', clientRef: client.id }, client)}
        />
      ) : (
        <span class='picker' />
      )}
    </div>
  )
}

type T = ReturnType<typeof useUi>['t']

function inherited({ parent }: Node, above: Placement | undefined, clientName: RowProps['clientName'], t: T): string {
  if (parent === null || above === undefined) return t('modeInheritTop')
  if (above.assignment === 'excluded') return t('modeInheritExcluded')
  return t('modeInherit', { client: clientName(above.effectiveClientRef) ?? t('modeInheritTop') })
}

/** "3 devices get a client, 2 devices lose their client" */
export function effectText({ gained, moved, lost, held }: Effect, t: T): string {
  const parts = [
    gained > 0 && t('effectGained', { count: gained }),
    moved > 0 && t('effectMoved', { count: moved }),
    lost > 0 && t('effectLost', { count: lost }),
    held > 0 && t('effectHeld', { count: held })
  ].filter(part => part !== false)
  return parts.length > 0 ? parts.join(', ') : t('effectNone')
}
