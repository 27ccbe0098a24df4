"""A rendered world: seeded people who move before a pinhole camera, with exact depth, joints and visibility.

`clip.plan_clips` says what to draw, `video.render_clip` draws it; `domains.DOMAINS` are the four places there are.
"""
