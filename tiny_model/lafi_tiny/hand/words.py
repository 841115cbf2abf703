"""The words of captions, English and Chinese. The first of several is the plain one."""

from typing import Literal

Language = Literal["en", "zh"]
Words = dict[str, tuple[str, ...]]

ACTION_WORDS: dict[Language, Words] = {
    "en": {
        "standing": ("standing", "standing still"),
        "waving": ("waving", "waving hello"),
        "cheering": ("cheering", "cheering with both arms up"),
        "running": ("running", "running fast"),
        "sitting": ("sitting", "sitting on a stool"),
        "kicking": ("kicking", "kicking high"),
        "jumping": ("jumping", "jumping in the air"),
        "pointing": ("pointing", "pointing ahead"),
    },
    "zh": {
        "standing": ("站着", "站立"),
        "waving": ("挥手", "招手"),
        "cheering": ("欢呼", "举起双手欢呼"),
        "running": ("奔跑", "跑步"),
        "sitting": ("坐着", "坐在凳子上"),
        "kicking": ("踢腿", "高踢腿"),
        "jumping": ("跳跃", "跳起来"),
        "pointing": ("指向前方", "伸手指着"),
    },
}
PLACE_WORDS: dict[Language, Words] = {
    "en": {
        "meadow": ("on a meadow", "in a green meadow"),
        "beach": ("on the beach", "by the sea"),
        "city": ("in the city", "on a city street"),
        "snow": ("in the snow", "on a snowy field"),
        "forest": ("in the forest", "in the woods"),
        "room": ("in a room", "at home"),
        "farm": ("on a farm", "in a wheat field"),
        "library": ("in a library", "in front of bookshelves"),
    },
    "zh": {
        "meadow": ("在草地上", "在绿色的草地上"),
        "beach": ("在海滩上", "在海边"),
        "city": ("在城市里", "在城市街道上"),
        "snow": ("在雪地里", "在雪地上"),
        "forest": ("在森林里", "在树林里"),
        "room": ("在房间里", "在家里"),
        "farm": ("在农场", "在麦田里"),
        "library": ("在图书馆", "在书架前"),
    },
}
LIGHT_WORDS: dict[Language, Words] = {
    "en": {
        "day": ("by day", "in daylight"),
        "sunset": ("at sunset", "at dusk"),
        "night": ("at night", "by night"),
        "rain": ("in the rain", "on a rainy day"),
    },
    "zh": {
        "day": ("白天", "日光下"),
        "sunset": ("日落时", "黄昏"),
        "night": ("夜晚", "晚上"),
        "rain": ("下雨天", "雨中"),
    },
}
EXPRESSION_WORDS: dict[Language, Words] = {
    "en": {
        "neutral": ("calm", "neutral"),
        "happy": ("happy", "smiling", "cheerful"),
        "sad": ("sad", "crying", "unhappy"),
        "angry": ("angry", "cross", "furious"),
        "surprised": ("surprised", "amazed", "astonished"),
    },
    "zh": {
        "neutral": ("平静", "面无表情"),
        "happy": ("开心", "微笑", "高兴"),
        "sad": ("伤心", "哭泣", "难过"),
        "angry": ("生气", "愤怒"),
        "surprised": ("惊讶", "吃惊"),
    },
}
PROP_WORDS: dict[Language, Words] = {
    "en": {
        "ball": ("with a ball", "playing with a ball"),
        "umbrella": ("with an umbrella", "under an umbrella"),
        "book": ("with a book", "holding a book"),
        "balloon": ("with a balloon", "holding a balloon"),
        "teddy": ("with a teddy bear", "holding a teddy"),
    },
    "zh": {
        "ball": ("拿着球", "玩球"),
        "umbrella": ("打着伞", "拿着雨伞"),
        "book": ("拿着书", "捧着书"),
        "balloon": ("拿着气球", "牵着气球"),
        "teddy": ("抱着泰迪熊", "拿着小熊"),
    },
}
VIEW_WORDS: dict[Language, Words] = {
    "en": {
        "front": ("from the front", "facing us"),
        "side": ("from the side", "in profile"),
        "back": ("from behind", "seen from the back"),
    },
    "zh": {
        "front": ("正面", "面对我们"),
        "side": ("侧面", "侧影"),
        "back": ("背面", "背影"),
    },
}
FRAMING_WORDS: dict[Language, Words] = {
    "en": {
        "near": ("close-up", "portrait"),
        "medium": ("full figure", "full view"),
        "far": ("far away", "in the distance"),
    },
    "zh": {
        "near": ("特写", "半身像"),
        "medium": ("全身", "全景"),
        "far": ("远景", "在远处"),
    },
}
NOUNS: dict[Language, tuple[str, ...]] = {
    "en": ("child", "kid", "girl", "boy"),
    "zh": ("孩子", "小朋友", "女孩", "男孩"),
}
"""The last one is not said of who wears a skirt; any child may be a girl."""

LOOKS_EN: dict[str, Words] = {
    "skin": {
        "pale": ("pale skin", "light skin"),
        "tan": ("tan skin", "tanned skin"),
        "dark": ("dark skin", "brown skin"),
    },
    "hairstyle": {
        "short": ("short {} hair",),
        "long": ("long {} hair",),
        "bun": ("{} hair in a bun", "a {} bun"),
        "spiky": ("spiky {} hair",),
        "curly": ("curly {} hair", "{} curls"),
        "pigtails": ("{} pigtails", "{} hair in pigtails"),
    },
    "pattern": {
        "plain": ("plain {}", "{} plain"),
        "striped": ("striped {}", "{} striped"),
        "dotted": ("dotted {}", "{} dotted"),
    },
    "garment": {"trousers": ("trousers", "pants"), "shorts": ("shorts",), "skirt": ("skirt",)},
    "accessory": {
        "none": ("no accessories",),
        "cap": ("a cap", "a teal cap"),
        "scarf": ("a scarf", "an orange scarf"),
        "glasses": ("glasses", "round glasses"),
        "crown": ("a crown", "a golden crown"),
    },
    "build": {"slim": ("slim", "thin"), "stout": ("stout", "chubby")},
}
TOP_NOUNS: dict[Language, tuple[str, ...]] = {
    "en": ("top", "shirt", "sweater"),
    "zh": ("上衣", "衬衫", "毛衣"),
}
COLOURS_ZH: dict[str, str] = {
    "black": "黑色",
    "blond": "金色",
    "red": "红色",
    "white": "白色",
    "blue": "蓝色",
    "green": "绿色",
    "yellow": "黄色",
    "purple": "紫色",
    "navy": "深蓝色",
    "brown": "棕色",
    "pink": "粉色",
    "cream": "米色",
}
LOOKS_ZH: dict[str, Words] = {
    "skin": {
        "pale": ("白皙皮肤", "浅色皮肤"),
        "tan": ("小麦色皮肤",),
        "dark": ("深色皮肤", "褐色皮肤"),
    },
    "hairstyle": {
        "short": ("短发",),
        "long": ("长发",),
        "bun": ("丸子头", "发髻"),
        "spiky": ("刺猬头",),
        "curly": ("卷发",),
        "pigtails": ("双马尾",),
    },
    "pattern": {"plain": ("纯色",), "striped": ("条纹",), "dotted": ("圆点", "波点")},
    "garment": {"trousers": ("长裤", "裤子"), "shorts": ("短裤",), "skirt": ("裙子",)},
    "accessory": {
        "none": ("不戴饰品",),
        "cap": ("戴帽子", "戴着帽子"),
        "scarf": ("围围巾", "围着围巾"),
        "glasses": ("戴眼镜", "戴着眼镜"),
        "crown": ("戴皇冠", "戴着皇冠"),
    },
    "build": {"slim": ("瘦瘦的", "苗条的"), "stout": ("胖胖的", "圆圆的")},
}
