"""The layout: source, translation, motion and change side by side, 3D arrows, table; linked; and its removal.

Only MRML is touched, so the same calls work in the application and off-screen.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

LAYOUT_ID = 5512
SOURCE, TRANSLATED, MOTION, CHANGE = "SITSource", "SITTranslated", "SITMotion", "SITChange"
SLICES = (SOURCE, TRANSLATED, MOTION, CHANGE)
THREE_D = "SIT3D"
TABLE = "SITTable"
TITLES = {
    SOURCE: "Source",
    TRANSLATED: "Translated",
    MOTION: "How the anatomy moved",
    CHANGE: "How the intensity changed",
    THREE_D: "How the anatomy moved (3D)",
}
#: Title of a view with the map of volumes.
EXPANSION_TITLE = "What expanded, what shrank"
_COLOURS = {SOURCE: "#8FA3B8", TRANSLATED: "#FFC240", MOTION: "#4DE08A", CHANGE: "#B48CFF"}
_LABELS = {SOURCE: "S", TRANSLATED: "T", MOTION: "M", CHANGE: "C"}
#: A view group of our own: linking and jumping never reach the user's other views.
VIEW_GROUP = 55


def _slice(name: str) -> str:
    return (
        f'<item><view class="vtkMRMLSliceNode" singletontag="{name}">'
        '<property name="orientation" action="default">Axial</property>'
        f'<property name="viewlabel" action="default">{_LABELS[name]}</property>'
        f'<property name="viewcolor" action="default">{_COLOURS[name]}</property>'
        f'<property name="viewgroup" action="default">{VIEW_GROUP}</property></view></item>'
    )


def layout_description(*, table: bool = True) -> str:
    """The layout as Slicer's XML: two rows of two slice views, and a column of 3D view over table."""
    table_item = (
        f'<item splitSize="350"><view class="vtkMRMLTableViewNode" singletontag="{TABLE}">'
        '<property name="viewlabel" action="default">T</property></view></item>'
    )
    return (
        '<layout type="horizontal" split="true">'
        '<item splitSize="660"><layout type="vertical" split="true">'
        f'<item><layout type="horizontal" split="true">{_slice(SOURCE)}{_slice(TRANSLATED)}</layout></item>'
        f'<item><layout type="horizontal" split="true">{_slice(MOTION)}{_slice(CHANGE)}</layout></item>'
        '</layout></item><item splitSize="340"><layout type="vertical" split="true">'
        f'<item splitSize="650"><view class="vtkMRMLViewNode" singletontag="{THREE_D}">'
        '<property name="viewlabel" action="default">3D</property>'
        f'<property name="viewgroup" action="default">{VIEW_GROUP}</property></view></item>'
        f"{table_item if table else ''}</layout></item></layout>"
    )


def layout_node(scene: Any) -> Any:
    """The scene's layout node; the application owns it, off-screen it is made here."""
    node = scene.GetFirstNodeByClass("vtkMRMLLayoutNode")
    if node is None:
        raise LookupError(
            "the scene has no layout node: views are managed by the application or by the headless window"
        )
    return node


def enter_layout(scene: Any, *, table: bool = False) -> int:
    """Show our layout; returns the user's, for :func:`leave_layout`."""
    node = layout_node(scene)
    previous = int(node.GetViewArrangement())
    description = layout_description(table=table)
    if not node.IsLayoutDescription(LAYOUT_ID):
        node.AddLayoutDescription(LAYOUT_ID, description)
    else:
        node.SetLayoutDescription(LAYOUT_ID, description)
    node.SetViewArrangement(LAYOUT_ID)
    # Closing a scene keeps the views but forgets their group, and the layout sets it on new views only.
    for name in SLICES:
        if (view := slice_node(scene, name)) is not None:
            view.SetViewGroup(VIEW_GROUP)
    return previous


def making_views(scene: Any) -> Generator[None, None, None]:
    """Add the nodes of our views that are not there yet, in steps: the application makes the window of each at once.

    Without it the layout makes all of them in one call, which holds the window for longer than a user notices. The
    nodes are as ``vtkMRMLLayoutLogic`` makes them, with the properties that :func:`layout_description` gives.
    """
    for name in (*SLICES, THREE_D):
        cls = "vtkMRMLViewNode" if name == THREE_D else "vtkMRMLSliceNode"
        if scene.GetSingletonNode(name, cls) is not None:
            continue
        node = scene.CreateNodeByClass(cls)
        node.UnRegister(None)
        node.SetLayoutName(name)
        node.SetName(f"View{name}" if name == THREE_D else name)
        node.SetLayoutLabel(_LABELS.get(name, "3D"))
        node.SetViewGroup(VIEW_GROUP)
        if name in _COLOURS:
            node.SetLayoutColor(*(int(_COLOURS[name][first : first + 2], 16) / 255.0 for first in (1, 3, 5)))
            node.SetDefaultOrientation("Axial")
            node.SetOrientation("Axial")
        scene.AddNode(node)
        yield


def leave_layout(scene: Any, previous: int) -> None:
    """Back to the user's layout, unless the user has chosen another one meanwhile."""
    node = layout_node(scene)
    if node.GetViewArrangement() == LAYOUT_ID and previous != LAYOUT_ID:
        node.SetViewArrangement(previous)


def view_id(name: str) -> str:
    """The MRML ID of one of our views: fixed, because view nodes are singletons."""
    return f"vtkMRML{'View' if name == THREE_D else 'Slice'}Node{name}"


def slice_node(scene: Any, name: str) -> Any:
    """The slice view node of that name; None before the layout was shown."""
    return scene.GetSingletonNode(name, "vtkMRMLSliceNode")


def composite_node(scene: Any, name: str) -> Any:
    """The node with the volumes of the slice view; None before the view exists."""
    for index in range(scene.GetNumberOfNodesByClass("vtkMRMLSliceCompositeNode")):
        node = scene.GetNthNodeByClass(index, "vtkMRMLSliceCompositeNode")
        if node.GetLayoutName() == name:
            return node
    return None


def show_volumes(scene: Any, name: str, background: Any, foreground: Any | None = None, opacity: float = 0.0) -> None:
    """Set what one view shows, and no other view; linked control is held off meanwhile."""
    composite = composite_node(scene, name)
    if composite is None:
        return
    linked = composite.GetLinkedControl()
    composite.SetLinkedControl(0)
    composite.SetBackgroundVolumeID(background.GetID() if background is not None else None)
    composite.SetForegroundVolumeID(foreground.GetID() if foreground is not None else None)
    composite.SetForegroundOpacity(opacity)
    composite.SetLabelVolumeID(None)
    composite.SetLinkedControl(linked)
    refresh_legends(scene)


def empty_views(scene: Any, node: Any = None) -> None:
    """Take a volume out of our views, or every volume, before it leaves the scene.

    Slicer's view controllers choose a neighbour for a volume that is removed, and linked views take it over.
    """
    for name in SLICES:
        composite = composite_node(scene, name)
        if composite is None:
            continue
        linked = composite.GetLinkedControl()
        composite.SetLinkedControl(0)
        for layer in ("Background", "Foreground", "Label"):
            shown = getattr(composite, f"Get{layer}VolumeID")()
            if shown and (node is None or shown == node.GetID()):
                getattr(composite, f"Set{layer}VolumeID")(None)
        composite.SetLinkedControl(linked)


def refresh_legends(scene: Any) -> None:
    """Have every colour legend look again whether its volume is shown: it does not notice a changed layer itself."""
    for index in range(scene.GetNumberOfNodesByClass("vtkMRMLColorLegendDisplayNode")):
        scene.GetNthNodeByClass(index, "vtkMRMLColorLegendDisplayNode").Modified()


def link_views(scene: Any, linked: bool = True) -> None:
    """Scroll, pan and zoom of one of our slice views moves the others as well."""
    for name in SLICES:
        if (composite := composite_node(scene, name)) is not None:
            composite.SetLinkedControl(int(linked))
            composite.SetHotLinkedControl(int(linked))


def jump_to(scene: Any, point: Any) -> None:
    """Show a RAS point (mm) in all of our slice views, and in no others."""
    for name in SLICES:
        if (node := slice_node(scene, name)) is not None:
            node.JumpSliceByOffsetting(*(float(value) for value in point))
